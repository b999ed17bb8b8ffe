/**
 * Solve a system of linear equations by Gaussian elimination with partial pivoting.
 *
 * @param matrix - n rows of n numbers.
 * @param right - n rows of m numbers.
 * @returns n rows of m numbers; null if the matrix is singular.
 */
export function solve(
  matrix: readonly (readonly number[])[],
  right: readonly (readonly number[])[],
): number[][] | null {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...right[i]!]);
  const largest = Math.max(...matrix.flat().map(Math.abs));
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++) {
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = i;
    }
    if (!(Math.abs(rows[pivot]![column]!) > 1e-14 * largest)) return null;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const top = rows[column]!;
    for (const row of rows) {
      if (row === top || row[column] === 0) continue;
      const factor = row[column]! / top[column]!;
      for (let j = column; j < row.length; j++) row[j]! -= factor * top[j]!;
    }
  }
  return rows.map((row, i) => row.slice(n).map((value) => value / row[i]!));
}

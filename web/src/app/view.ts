/** The view: the elements of the page, their texts, messages and the image. */
import type { Choice, Shown } from "./studio/studio";
import { type Word, currentLanguage, explain, say, stickerTitle } from "./words";

/** Return an element of the page by its id. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export const canvas = element<HTMLCanvasElement>("canvas");
const screen = canvas.getContext("bitmaprenderer")!;
const status = element("status");
const problem = element("problem");
const meter = element("meter");
const choices = element("choices");

/** The last message, the last error and the canvas label, kept to be translated when the language changes. */
let statusText: () => string = () => "";
let shownError: unknown;
let canvasLabel: () => string = () => say("stage");

/** Set all texts of the page in the current language. */
export function translate(): void {
  document.documentElement.lang = currentLanguage() === "zh" ? "zh-CN" : "en";
  element("language").lang = currentLanguage() === "zh" ? "en" : "zh-CN"; // the button names the other language
  document.title = `facekp: ${say("title")}`;
  for (const each of document.querySelectorAll<HTMLElement>("[data-word]"))
    each.textContent = say(each.dataset.word as Word);
  for (const each of document.querySelectorAll<HTMLElement>("[data-label]")) {
    each.setAttribute("aria-label", say(each.dataset.label as Word));
  }
  for (const each of choices.querySelectorAll<HTMLElement>("[data-title]")) {
    each.lastElementChild!.textContent = stickerTitle(each.dataset.name!, each.dataset.title!);
  }
  status.textContent = statusText();
  canvas.setAttribute("aria-label", canvasLabel());
  if (shownError !== undefined) problem.textContent = explain(shownError);
}

/** Change the text of a button. */
export function setWord(id: string, word: Word): void {
  element(id).dataset.word = word;
  element(id).textContent = say(word);
}

/** Show a status message. */
export function tell(word: Word, details: Record<string, string | number> = {}): void {
  statusText = () => say(word, details);
  status.textContent = statusText();
}

/** Show an error in one line, or hide the last one if there is none. */
export function complain(error?: unknown): void {
  shownError = error;
  problem.hidden = error === undefined;
  problem.textContent = error === undefined ? "" : explain(error);
}

/** Whether an image is shown. */
export function hasImage(): boolean {
  return element("hint").hidden;
}

/**
 * Show an image, and announce the number of faces when it changes.
 *
 * @param shown - The image.
 * @param settled - Milliseconds for which the number must stay the same before it is announced.
 */
export function show(shown: Shown, settled = 0): void {
  const { width, height } = shown.image;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  screen.transferFromImageBitmap(shown.image);
  element("hint").hidden = true;
  if (shown.faces === faces) return;
  faces = shown.faces;
  clearTimeout(countTimer);
  if (settled) countTimer = setTimeout(tellFaces, settled, faces);
  else tellFaces(faces);
}

/** Number of faces in the image, and the number that was last announced. */
let [faces, announced] = [-1, -1];
let countTimer: ReturnType<typeof setTimeout> | undefined;

function tellFaces(count: number): void {
  if (count === announced) return; // a flickering number; other messages stay
  announced = count;
  const word = count === 0 ? "none" : count === 1 ? "one" : "several";
  tell(word, { count });
  canvasLabel = () => `${say("stage")}. ${say(word, { count })}`;
  canvas.setAttribute("aria-label", canvasLabel());
}

/** Remove the image. */
export function clear(): void {
  faces = announced = -1;
  clearTimeout(countTimer);
  screen.transferFromImageBitmap(null);
  element("hint").hidden = false;
  canvasLabel = () => say("stage");
  canvas.setAttribute("aria-label", canvasLabel());
  setRate(undefined);
}

/** Show the frames per second, or hide them if undefined. */
export function setRate(rate: number | undefined): void {
  meter.hidden = rate === undefined || !element<HTMLInputElement>("rate").checked;
  if (!meter.hidden) meter.textContent = say("fps", { rate: rate!.toFixed(0) });
}

/**
 * Add a button for a sticker.
 *
 * @param choice - The sticker.
 * @param thumbnail - Address of its image; if undefined, or if the file is missing, `paint` provides the image.
 * @param pressed - Called with the sticker's name.
 * @param paint - Returns an image of the sticker.
 */
export function addChoice(
  choice: Choice,
  thumbnail: string | undefined,
  pressed: (name: string) => void,
  paint: (name: string) => Promise<ImageBitmap>,
): void {
  const { name, title } = choice;
  choices.querySelector(`[data-name="${CSS.escape(name)}"]`)?.remove();
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = name;
  button.dataset.title = title;
  button.setAttribute("aria-pressed", "false");
  const label = document.createElement("span");
  label.textContent = stickerTitle(name, title);
  const image = Object.assign(new Image(SIDE, SIDE), { alt: "" });
  button.append(image, label);
  const showPainted = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * SIDE, height: 2 * SIDE });
    canvas.setAttribute("aria-hidden", "true");
    canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(await paint(name));
    image.replaceWith(canvas);
  };
  const paintOrRemove = () => void showPainted().catch(() => image.remove()); // the name suffices; a press shows why
  image.onerror = paintOrRemove;
  if (thumbnail) image.src = thumbnail;
  else paintOrRemove();
  button.addEventListener("click", () => pressed(name));
  choices.append(button);
}

/** Side of a sticker's image, in CSS pixels. */
const SIDE = 72;

/** Mark the stickers that are worn. */
export function markChoices(worn: ReadonlySet<string>): void {
  for (const button of choices.querySelectorAll<HTMLElement>("button")) {
    button.setAttribute("aria-pressed", String(worn.has(button.dataset.name!)));
  }
}

/** What the page shows: the elements, their words, messages and the image. */
import type { Choice, Shown } from "./studio/studio";
import { type Word, currentLanguage, explain, say, stickerTitle } from "./words";

/** An element of the page by its id. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export const canvas = element<HTMLCanvasElement>("canvas");
const screen = canvas.getContext("bitmaprenderer")!;
const status = element("status");
const problem = element("problem");
const meter = element("meter");
const choices = element("choices");

/** The last message and the last error, to be said again in another language. */
let said: () => string = () => "";
let complaint: unknown;
let described: () => string = () => say("stage");

/** Put the words of the current language everywhere. */
export function translate(): void {
  document.documentElement.lang = currentLanguage() === "zh" ? "zh-CN" : "en";
  element("language").lang = currentLanguage() === "zh" ? "en" : "zh-CN"; // it names the other one
  document.title = `facekp: ${say("title")}`;
  for (const each of document.querySelectorAll<HTMLElement>("[data-word]"))
    each.textContent = say(each.dataset.word as Word);
  for (const each of document.querySelectorAll<HTMLElement>("[data-label]")) {
    each.setAttribute("aria-label", say(each.dataset.label as Word));
  }
  for (const each of choices.querySelectorAll<HTMLElement>("[data-title]")) {
    each.lastElementChild!.textContent = stickerTitle(each.dataset.name!, each.dataset.title!);
  }
  status.textContent = said();
  canvas.setAttribute("aria-label", described());
  if (complaint !== undefined) problem.textContent = explain(complaint);
}

/** Change what a button says. */
export function setWord(id: string, word: Word): void {
  element(id).dataset.word = word;
  element(id).textContent = say(word);
}

/** A message that is no error. */
export function tell(word: Word, details: Record<string, string | number> = {}): void {
  said = () => say(word, details);
  status.textContent = said();
}

/** Show what went wrong, in one line; nothing to take it away. */
export function complain(error?: unknown): void {
  complaint = error;
  problem.hidden = error === undefined;
  problem.textContent = error === undefined ? "" : explain(error);
}

/** Whether an image is shown. */
export function hasImage(): boolean {
  return element("hint").hidden;
}

/**
 * Show an image, and say how many faces it has when that changes.
 *
 * @param shown - The image.
 * @param settled - Milliseconds for which the number must stay the same before it is said.
 */
export function show(shown: Shown, settled = 0): void {
  const { width, height } = shown.image;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  screen.transferFromImageBitmap(shown.image);
  element("hint").hidden = true;
  if (shown.faces === faces) return;
  faces = shown.faces;
  clearTimeout(saying);
  if (settled) saying = setTimeout(sayFaces, settled, faces);
  else sayFaces(faces);
}

let faces = -1;
let saying: ReturnType<typeof setTimeout> | undefined;

function sayFaces(count: number): void {
  const word = count === 0 ? "none" : count === 1 ? "one" : "several";
  tell(word, { count });
  described = () => `${say("stage")}. ${say(word, { count })}`;
  canvas.setAttribute("aria-label", described());
}

/** Show nothing. */
export function clear(): void {
  faces = -1;
  clearTimeout(saying);
  screen.transferFromImageBitmap(null);
  element("hint").hidden = false;
  described = () => say("stage");
  canvas.setAttribute("aria-label", described());
  setRate(undefined);
}

/** Show the frames per second, or nothing. */
export function setRate(rate: number | undefined): void {
  meter.hidden = rate === undefined || !element<HTMLInputElement>("rate").checked;
  meter.textContent = say("fps", { rate: rate?.toFixed(0) ?? "" });
}

/**
 * A button for a sticker.
 *
 * @param choice - The sticker.
 * @param thumbnail - Address of an image of it; without one, or if that is missing, `paint` is asked for one.
 * @param pressed - Called with the sticker's name.
 * @param paint - Makes the image.
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
  const paintIt = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * SIDE, height: 2 * SIDE });
    canvas.setAttribute("aria-hidden", "true");
    canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(await paint(name));
    image.replaceWith(canvas);
  };
  const paintOrDrop = () => void paintIt().catch(() => image.remove()); // its name is enough; pressing it says why
  image.onerror = paintOrDrop;
  if (thumbnail) image.src = thumbnail;
  else paintOrDrop();
  button.addEventListener("click", () => pressed(name));
  choices.append(button);
}

/** Side of a sticker's image, in pixels of the page. */
const SIDE = 72;

/** Mark the stickers that are worn. */
export function markChoices(worn: ReadonlySet<string>): void {
  for (const button of choices.querySelectorAll<HTMLElement>("button")) {
    button.setAttribute("aria-pressed", String(worn.has(button.dataset.name!)));
  }
}

/** A video for Chromium's fake camera: a moving photo of an astronaut (NASA, public domain), as motion JPEG. */
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openChromium } from "./chromium";

/** Path of the photo. */
export const ASTRONAUT = resolve(import.meta.dirname, "../../../assets/photos/astronaut.png");

/** Write the video; return its path. */
export async function makeFilm(frames = 90): Promise<string> {
  const context = await openChromium();
  try {
    const page = await context.newPage();
    const photo = `data:image/png;base64,${readFileSync(ASTRONAUT).toString("base64")}`;
    const jpegs = await page.evaluate(draw, { photo, frames });
    const file = join(tmpdir(), `facekp-film-${process.pid}.mjpeg`);
    writeFileSync(file, Buffer.concat(jpegs.map((each) => Buffer.from(each, "base64"))));
    return file;
  } finally {
    await context.close();
  }
}

/** Draw the frames in the page; return JPEGs of 1280x720 in base64. */
async function draw({ photo, frames }: { photo: string; frames: number }): Promise<string[]> {
  const image = new Image();
  image.src = photo;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
  const context = canvas.getContext("2d")!;
  const jpegs: string[] = [];
  for (let i = 0; i < frames; i++) {
    const phase = (2 * Math.PI * i) / frames;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#46586a";
    context.fillRect(0, 0, 1280, 720);
    context.translate(640 + 120 * Math.cos(phase), 380 + 40 * Math.sin(2 * phase));
    context.rotate(0.2 * Math.sin(phase));
    const side = 700 + 80 * Math.sin(phase);
    context.drawImage(image, -0.45 * side, -0.35 * side, side, side);
    jpegs.push(canvas.toDataURL("image/jpeg", 0.9).split(",")[1]!);
  }
  return jpegs;
}

/** Finding faces in frames and photos and drawing stickers on them; runs in a worker, or on the page without one. */
import {
  type Backend,
  CURVES,
  type Context,
  type Face,
  type Folder,
  type Landmarker,
  MANIFEST_FILE,
  MAX_ARCHIVE_BYTES,
  MAX_RECIPE_BYTES,
  MEAN_FACE,
  MODEL_FILE,
  NUM_POINTS,
  RECIPE_FILE,
  Sticker,
  Tracker,
  UserError,
  combine,
  contextOf,
  createCanvas,
  folderAt,
  folderOf,
  loadSticker,
  openLandmarker,
  openSticker,
  readRecipe,
  textOf,
  unzip,
} from "../../engine";
import { turns } from "../../engine/turns";

/** Landmarks and boxes that are drawn over the image. */
interface Overlay {
  readonly points: boolean;
  readonly boxes: boolean;
}

/** An image with stickers, and the number of faces in it. */
export interface Shown {
  readonly image: ImageBitmap;
  readonly faces: number;
}

/** A sticker of the list. */
export interface Choice {
  readonly name: string;
  readonly title: string;
}

/** Content of an archive. */
type Added = { readonly sticker: Choice } | { readonly network: string };

/** Expected kind of an archive. */
export type Wanted = "pack" | "network";

/** Contents of files, by name. */
type Files = Map<string, Uint8Array<ArrayBuffer>>;

/** Maximum side in pixels; larger photos are shrunk, as not every browser supports larger canvases. */
const MAX_SIDE = 4096;

/** Side in pixels of the thumbnail of a sticker. */
const THUMBNAIL = 144;

/** Landmark detection and drawing for the page; every method can be called across threads. */
export class Studio {
  private base = "";
  private backend: Backend = "wasm";
  private landmarker?: Landmarker;
  private tracker?: Tracker;
  /** Networks provided by the user, which replace the shipped ones. */
  private networks: { readonly points?: Folder; readonly boxes?: Folder } = {};
  private readonly packs = new Map<string, Sticker>();
  /** Number of calls of `wear`; only the last call takes effect. */
  private wearCalls = 0;
  private names: readonly string[] = [];
  private readonly own = new Map<string, Sticker>();
  private worn = new Sticker([]);
  private overlay: Overlay = { points: false, boxes: false };
  private context?: Context;
  /** Runs tasks one by one: they share the canvas, and a network processes one image at a time. */
  private readonly inTurn = turns();
  /** Loads networks one by one, so that those requested last remain. */
  private readonly loadInTurn = turns();
  private photo?: { image: ImageBitmap; faces: Face[] };

  /**
   * Load the shipped networks.
   *
   * @param base - Address of the page.
   * @param backend - See `Runtime`.
   * @returns The backend that runs the landmark network.
   */
  async load(base: string, backend: Backend): Promise<Backend> {
    this.base = base;
    this.backend = backend;
    await this.loadInTurn(() => this.use({}));
    return this.landmarker!.backend;
  }

  /** Return the list of shipped stickers. */
  async choices(): Promise<Choice[]> {
    const file = "stickers/index.json";
    const response = await fetch(new URL(file, this.base));
    if (!response.ok) throw new UserError("file.missing", { file, reason: response.status });
    return (await response.json()) as Choice[];
  }

  /** Draw a sticker on a schematic face. */
  async thumbnail(name: string): Promise<ImageBitmap> {
    const sticker = this.own.get(name) ?? this.packs.get(name) ?? (await this.fetchPack(name));
    const context = contextOf(createCanvas(THUMBNAIL, THUMBNAIL));
    drawDummy(context);
    sticker.drawWhole(context, dummy());
    return bitmapOf(context);
  }

  /** Load a sticker before it is worn. */
  async prepare(name: string): Promise<void> {
    if (this.own.has(name) || this.packs.has(name)) return;
    const sticker = await this.fetchPack(name);
    this.packs.set(name, sticker);
  }

  /** Replace the worn stickers by these. */
  async wear(names: readonly string[]): Promise<void> {
    const call = ++this.wearCalls;
    for (const name of names) await this.prepare(name);
    if (call !== this.wearCalls) return; // a later call has replaced this one
    this.worn = combine(names.map((name) => this.own.get(name) ?? this.packs.get(name)!));
    for (const name of this.names) if (!names.includes(name)) this.packs.delete(name); // frees the memory of its images
    this.names = names;
  }

  /**
   * Add an untrusted archive: a sticker pack or a network.
   *
   * @param bytes - The archive.
   * @param file - Name of the archive for messages.
   * @param wanted - Kind that the user expects, if known.
   */
  async addZip(bytes: Uint8Array<ArrayBuffer>, file: string, wanted?: Wanted): Promise<Added> {
    const files = await unzip(bytes, file, MAX_ARCHIVE_BYTES);
    const names = [...files.keys()].map((path) => path.split("/").at(-1));
    // A network without its recipe is still a network, not a sticker pack.
    if (names.includes(RECIPE_FILE) || names.some((name) => name?.endsWith(".onnx"))) {
      return { network: await this.useNetwork(files, file) };
    }
    if (!names.includes(MANIFEST_FILE)) throw new UserError(wanted ? `${wanted}.none` : "zip.neither", { file });
    const sticker = await openSticker(folderOf(file, files, MANIFEST_FILE));
    const name = `own:${sticker.name}`;
    this.own.set(name, sticker);
    return { sticker: { name, title: sticker.title } };
  }

  /** Use a landmark network or detector from files of `tools/export.py`; return its name. */
  async useNetwork(files: Files, name: string): Promise<string> {
    const parts = [...files].filter(([path]) => [RECIPE_FILE, MODEL_FILE].includes(path.split("/").at(-1)!));
    const folder = folderOf(name, new Map(parts), RECIPE_FILE); // kept, so without the other files
    const recipe = await folder.read(RECIPE_FILE);
    if (!recipe) throw new UserError("network.none", { file: name });
    const where = `${name}/${RECIPE_FILE}`;
    const { finds } = readRecipe(textOf(recipe, where, MAX_RECIPE_BYTES), where);
    await this.loadInTurn(() => this.use({ ...this.networks, [finds]: folder }));
    return name;
  }

  /** Use the shipped networks again. */
  useShipped(): Promise<void> {
    return this.loadInTurn(() => this.use({}));
  }

  /** Set what is drawn over the image. */
  setOverlay(overlay: Overlay): void {
    this.overlay = overlay;
  }

  /** Discard the faces of the last video, and the last photo. */
  restart(): Promise<void> {
    return this.inTurn(async () => {
      this.tracker = this.landmarker && new Tracker(this.landmarker);
      this.photo?.image.close();
      this.photo = undefined;
    });
  }

  /** Process the next frame of a video or a camera. */
  frame(image: VideoFrame | ImageBitmap, seconds: number, mirrored: boolean): Promise<Shown> {
    return this.inTurn(async () => {
      const context = this.paint(image, mirrored);
      image.close();
      const { width, height } = context.canvas;
      const faces = this.tracker ? await this.tracker.next(context.getImageData(0, 0, width, height), seconds) : [];
      return this.finish(context, faces, seconds);
    });
  }

  /** Process a photo, and keep it for `photoAgain`. */
  openPhoto(image: ImageBitmap): Promise<Shown> {
    void this.restart();
    return this.inTurn(() => this.detectPhoto(image));
  }

  /** Draw the photo again, with the stickers that are worn now. */
  photoAgain(): Promise<Shown | undefined> {
    return this.inTurn(async () => {
      if (!this.photo) return undefined;
      return this.finish(this.paint(this.photo.image, false), this.photo.faces, 0);
    });
  }

  /** Find the photo's faces again, after a change of network. */
  photoAnew(): Promise<Shown | undefined> {
    return this.inTurn(async () => this.photo && this.detectPhoto(this.photo.image));
  }

  private async detectPhoto(image: ImageBitmap): Promise<Shown> {
    const context = this.paint(image, false);
    const { width, height } = context.canvas;
    const faces = (await this.landmarker?.detect(context.getImageData(0, 0, width, height))) ?? [];
    let kept = image;
    if (image.width > width) {
      kept = await createImageBitmap(context.canvas); // the shrunk image is sufficient
      image.close();
    }
    this.photo = { image: kept, faces };
    return this.finish(context, faces, 0);
  }

  /** Load the given networks, and the shipped ones in place of those not given. */
  private async use(networks: Studio["networks"]): Promise<void> {
    const { points = this.shipped("face_crop_light"), boxes = this.shipped("face_detector") } = networks;
    const runtime = { folder: new URL("runtime/", this.base).href, backend: this.backend };
    const next = await openLandmarker(points, boxes, this.scoring(), runtime);
    await this.inTurn(async () => {
      const last = this.landmarker;
      this.landmarker = next;
      this.tracker = new Tracker(next);
      this.networks = networks;
      await last?.close();
    });
  }

  /** Return the network whose scores separate faces from patterns; in `shipped` if `facekp serve` replaced it. */
  private scoring(): Folder {
    const usual = this.shipped("face_crop_light");
    const read = async (file: string) => {
      const text = await usual.read(RECIPE_FILE);
      const where = `${usual.name}/${RECIPE_FILE}`;
      const recipe = text && readRecipe(textOf(text, where, MAX_RECIPE_BYTES), where);
      const scored = !recipe || (recipe.finds === "points" && recipe.scored);
      return (scored ? usual : this.shipped("shipped")).read(file);
    };
    return { name: usual.name, read };
  }

  private shipped(name: string): Folder {
    return folderAt(new URL(`models/${name}/`, this.base));
  }

  private fetchPack(name: string): Promise<Sticker> {
    return loadSticker(new URL(`stickers/${name}/`, this.base));
  }

  /** Draw an image onto the canvas, whose size is adapted to it. */
  private paint(image: VideoFrame | ImageBitmap, mirrored: boolean): Context {
    const [w, h] = "displayWidth" in image ? [image.displayWidth, image.displayHeight] : [image.width, image.height];
    const shrink = Math.min(1, MAX_SIDE / Math.max(w, h));
    const [width, height] = [w, h].map((side) => Math.max(1, Math.round(side * shrink))) as [number, number];
    this.context ??= contextOf(createCanvas(width, height), true);
    const { canvas } = this.context;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.context.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? width : 0, 0);
    this.context.globalCompositeOperation = "copy";
    this.context.drawImage(image, 0, 0, width, height);
    this.context.globalCompositeOperation = "source-over";
    this.context.resetTransform();
    return this.context;
  }

  private async finish(context: Context, faces: readonly Face[], seconds: number): Promise<Shown> {
    this.worn.draw(context, faces, seconds);
    drawOverlay(context, faces, this.overlay);
    return { image: await bitmapOf(context), faces: faces.length };
  }
}

/** Return the content of a canvas as an image. */
function bitmapOf({ canvas }: Context): ImageBitmap | Promise<ImageBitmap> {
  return "transferToImageBitmap" in canvas ? canvas.transferToImageBitmap() : createImageBitmap(canvas);
}

/** Draw the landmarks and boxes of faces. */
function drawOverlay(context: Context, faces: readonly Face[], { points, boxes }: Overlay): void {
  for (const face of faces) {
    const [x0, y0, x1, y1] = face.box;
    const unit = Math.max((x1 - x0) / 150, 1);
    context.fillStyle = context.strokeStyle = "#3df58a";
    context.lineWidth = unit;
    if (boxes) context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    for (let i = 0; points && i < NUM_POINTS; i++) {
      context.fillRect(face.points[2 * i]! - unit, face.points[2 * i + 1]! - unit, 2 * unit, 2 * unit);
    }
  }
}

/** Return the mean face, in the middle of a thumbnail. */
function dummy(): Face {
  const side = THUMBNAIL * 0.36;
  const points = Float32Array.from(MEAN_FACE, (value, i) => value * side + (i % 2 ? 0.54 : 0.32) * THUMBNAIL);
  return { points, box: [0, 0, THUMBNAIL, THUMBNAIL], score: 1 };
}

/** Draw the schematic face on which thumbnails show stickers. */
function drawDummy(context: Context): void {
  const { points } = dummy();
  context.fillStyle = "#d9b38c";
  context.beginPath();
  context.ellipse(THUMBNAIL / 2, THUMBNAIL * 0.655, THUMBNAIL * 0.19, THUMBNAIL * 0.25, 0, 0, 2 * Math.PI);
  context.fill();
  context.strokeStyle = "#6b4a2f";
  context.lineWidth = 1.5;
  for (const [from, to, closed] of CURVES.slice(1)) {
    context.beginPath();
    for (let i = from; i < to; i++) context.lineTo(points[2 * i]!, points[2 * i + 1]!);
    if (closed) context.closePath();
    context.stroke();
  }
}

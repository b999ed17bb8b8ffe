/** Texts of the page, in English and Chinese. */
import { type Code, MESSAGES, UserError, fillIn, reasonOf } from "../engine/errors";

const english = {
  title: "Face stickers",
  private: "Nothing leaves this device: photos and videos are processed here, in the browser.",
  skip: "Skip to the stickers",
  camera: "Camera",
  photo: "Photo",
  video: "Video",
  stop: "Stop",
  flip: "Other camera",
  mirror: "Mirror",
  picture: "Take a picture",
  record: "Record",
  recordStop: "Stop recording",
  stickers: "Stickers",
  show: "Show",
  points: "Points",
  boxes: "Boxes",
  rate: "Frames per second",
  more: "Your files",
  pack: "Sticker pack (.zip)",
  network: "Network (.zip)",
  networkFolder: "Network (folder)",
  networkShipped: "Built-in network",
  drop: "Start the camera, or drop, paste or choose a photo or a video.",
  source: "Source",
  stage: "The image with stickers",
  loading: "Loading…",
  ready: "Ready.",
  notReady: "Loading failed.",
  starting: "Starting the camera…",
  looking: "Looking for faces…",
  none: "No face found.",
  one: "1 face.",
  several: "{count} faces.",
  fps: "{rate} frames per second",
  saved: "Saved {file}.",
  recording: "Recording…",
  recordingMute: "Recording without sound: the microphone is not available.",
  packAdded: "Added “{title}”.",
  networkUsed: "Using the network “{name}”.",
  networkReset: "Using the built-in network.",
  language: "中文",
  cameraRefused: "Camera access was denied. Allow it in the browser's settings of this page, then press Camera again.",
  cameraMissing: "No camera was found. Connect one, then press Camera again; or choose a photo.",
  cameraBusy: "The camera is used by another program. Close that program, then press Camera again.",
  cameraInsecure: "Browsers allow camera access only on https or localhost. Open this page there, or choose a photo.",
  cameraLost: "The camera was disconnected. Connect it again, then press Camera.",
  cameraFailed: "The camera could not be started ({reason}). Try again, or choose a photo.",
  videoDamaged: "{file}: this browser cannot play it, or it is damaged; choose another.",
  fileUnknown: "{file}: not a photo, a video or a .zip file; choose another.",
  recordMissing: "This browser cannot record; take a picture instead.",
  recordEmpty: "Nothing was recorded, so nothing was saved. Record for at least one second.",
  failed: "Something went wrong ({reason}). Reload the page.",
};

/** Key of a text. */
export type Word = keyof typeof english;

const chinese: Record<Word, string> = {
  title: "人脸贴纸",
  private: "任何内容都不会离开本设备：照片和视频只在浏览器里处理。",
  skip: "跳到贴纸",
  camera: "摄像头",
  photo: "照片",
  video: "视频",
  stop: "停止",
  flip: "切换摄像头",
  mirror: "镜像",
  picture: "拍照",
  record: "录制",
  recordStop: "停止录制",
  stickers: "贴纸",
  show: "显示",
  points: "关键点",
  boxes: "人脸框",
  rate: "帧率",
  more: "自己的文件",
  pack: "贴纸包（.zip）",
  network: "网络（.zip）",
  networkFolder: "网络（文件夹）",
  networkShipped: "自带网络",
  drop: "打开摄像头，或者拖入、粘贴、选择一张照片或一段视频。",
  source: "来源",
  stage: "带贴纸的画面",
  loading: "正在加载……",
  ready: "已就绪。",
  notReady: "未就绪。",
  starting: "正在打开摄像头……",
  looking: "正在找人脸……",
  none: "没有找到人脸。",
  one: "1 张人脸。",
  several: "{count} 张人脸。",
  fps: "每秒 {rate} 帧",
  saved: "已保存 {file}。",
  recording: "正在录制……",
  recordingMute: "正在录制，没有声音：麦克风不可用。",
  packAdded: "已添加“{title}”。",
  networkUsed: "正在使用网络“{name}”。",
  networkReset: "正在使用自带网络。",
  language: "English",
  cameraRefused: "摄像头被拒绝。请在浏览器的本页设置里允许使用摄像头，然后再按“摄像头”。",
  cameraMissing: "没有找到摄像头。请接上摄像头再按“摄像头”，或者选择一张照片。",
  cameraBusy: "摄像头正被其他程序使用。请关闭那个程序，然后再按“摄像头”。",
  cameraInsecure: "浏览器只允许 https 或 localhost 的网页使用摄像头。请换用这样的地址，或者选择一张照片。",
  cameraLost: "摄像头已断开。请重新接上，然后再按“摄像头”。",
  cameraFailed: "摄像头无法启动（{reason}）。请再试一次，或者选择一张照片。",
  videoDamaged: "{file}：浏览器无法播放这个视频，或文件已损坏；请换一个。",
  fileUnknown: "{file}：不是照片、视频或 .zip；请换一个文件。",
  recordMissing: "这个浏览器不能录制；请改用拍照。",
  recordEmpty: "没有录到任何内容，因此没有保存。请重新录制，至少录一秒。",
  failed: "操作没有成功（{reason}）。请重新加载网页。",
};

const chineseMessages: Record<Code, string> = {
  "file.missing": "{file}：无法获取（{reason}）；请检查地址",
  "file.large": "{file}：{bytes} 字节太大；一个文件最多 {max} 字节",
  "zip.damaged": "{file}：zip 文件已损坏（{reason}）；请重新下载",
  "zip.encrypted": "{file}：需要密码；请不加密码重新打包",
  "zip.name": "{file}：文件名 {name} 指向压缩包之外；请重新打包",
  "zip.many": "{file}：文件多于 {max} 个；请只打包需要的文件",
  "zip.large": "{file}：解压后超过 {max} 字节；请只打包需要的文件",
  "zip.neither": "{file}：既不是贴纸包（manifest.json），也不是网络（recipe.json、model.onnx）；请换一个 .zip",
  "pack.none": "{file}：不是贴纸包；请给出含有 manifest.json 的 .zip",
  "pack.file": "{file}：贴纸包里没有这个文件；请放进去，或修改 manifest",
  "pack.json": "{file}：不是有效的 JSON（{reason}）；请修正那一处",
  "pack.key": "{file}：{where}：必须是 {expected}",
  "pack.unknown": "{file}：{where}：未知；可用的键是 {known}",
  "pack.place": "{file}：{where}：没有叫 {name} 的位置；可用的是 {known}",
  "pack.few": "{file}：{where}：fit {fit} 需要 {min} 个，而不是 {count} 个",
  "pack.outside": "{file}：{where}：在 {width}x{height} 的图片之外",
  "pack.line": "{file}：{where}：重合或在一条直线上；请把它们分开",
  "pack.size": "{file}：{where}：图片大小不一；请都做成 {width}x{height}",
  "pack.pixels": "{file}：{where}：超过 {max} 百万像素；请缩小图片",
  "png.not": "{file}：不是 PNG；请存成 PNG",
  "png.large": "{file}：{width}x{height} 像素太多；请缩小到每边最多 {max}",
  "png.opaque": "{file}：没有透明度；请导出带 alpha 通道的 PNG",
  "png.damaged": "{file}：PNG 已损坏；请重新导出",
  "network.none": "{file}：不是网络；请选择 facekp export 写出的文件夹，或它的 .zip",
  "network.recipe": "{file}：说明文件已损坏（{reason}）；请重新导出网络",
  "network.format": "{file}：不是 facekp 的网络（格式 {wanted}）；请重新导出",
  "network.finds": "{file}：这个网络预测的是 {finds}（points 为关键点，boxes 为人脸框），而不是 {wanted}；请换一个",
  "network.points": "{file}：预测 {count} 个点；浏览器需要 {wanted} 个点的网络",
  "network.pixels": "{file}：需要变换 {type}，浏览器里没有；请不用它训练",
  "network.run": "{file}：ONNX Runtime 无法运行（{reason}）；请重新导出",
  "network.shape": "{file}：输出与说明不符；请重新导出",
  "image.damaged": "{file}：浏览器无法显示这张图片，或文件已损坏；请换一张",
  "image.empty": "{file}：图片是空的；请换一张",
  "wasm.missing": "这个浏览器没有带 SIMD 的 WebAssembly；请更新或换一个浏览器",
};

const chineseStickers: Record<string, string> = {
  blush: "腮红和雀斑",
  cat: "猫耳朵和胡须",
  clown_nose: "小丑鼻子",
  confetti: "一笑彩纸飞",
  crown: "皇冠",
  dog: "小狗鼻子和舌头",
  dragon_fire: "张嘴喷龙火",
  fu: "春节福字",
  halo: "光环",
  heart_glasses: "爱心眼镜",
  kiss_hearts: "飞吻爱心",
  laser_eyes: "挑眉激光眼",
  lipstick: "口红和眉毛",
  medical_mask: "口罩",
  moustache: "小胡子",
  party_hat: "派对帽",
  rabbit: "兔耳朵",
  round_glasses: "圆框眼镜",
  sunglasses: "太阳镜",
  tiger: "老虎脸彩绘",
  tongue: "吐舌头",
  top_hat: "礼帽",
};

type Language = "en" | "zh";

const KEY = "facekp-language"; // prefixed: storage is shared with other pages of the host

let language: Language = stored() ?? (navigator.language.startsWith("zh") ? "zh" : "en");

function stored(): Language | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === "en" || value === "zh" ? value : undefined;
  } catch {
    return undefined; // the browser blocks storage: the choice is lost when the page is closed
  }
}

/** Return the language of the page. */
export function currentLanguage(): Language {
  return language;
}

/** Set the language, and store it for the next visit. */
export function setLanguage(next: Language): void {
  language = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Blocked storage, as in `stored`.
  }
}

/** Return a text of the page in the current language. */
export function say(word: Word, details: Record<string, string | number> = {}): string {
  return fillIn((language === "zh" ? chinese : english)[word], details);
}

/** Return the title of a sticker in the current language. */
export function stickerTitle(name: string, title: string): string {
  return language === "zh" ? (chineseStickers[name] ?? title) : title;
}

/** Error with a text of the page as its message. */
export class PageError extends Error {
  constructor(
    readonly word: Word,
    readonly details: Record<string, string | number> = {},
  ) {
    super(word);
  }
}

/** Return a one-line message for any error. */
export function explain(error: unknown): string {
  if (error instanceof PageError) return say(error.word, error.details);
  if (!(error instanceof UserError)) return say("failed", { reason: reasonOf(error) });
  return fillIn((language === "zh" ? chineseMessages : MESSAGES)[error.code], error.details);
}

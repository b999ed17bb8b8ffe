/** Conversion of an image to the input of the network in one pass, as listed in the recipe's `pixels`. */
import { UserError } from "./errors";
import type { Pixels } from "./warp";

/** A transform in a recipe, with its options. */
export interface PixelSpec {
  readonly type: string;
  readonly [option: string]: unknown;
}

/** Writes the channels of an image into `out`, from `offset` on, each as a plane of its own. */
type Planes = (image: Pixels, out: Float32Array, offset: number) => void;

/** Function that writes a network's input, and the number of its channels. */
export interface Input {
  readonly channels: number;
  readonly write: Planes;
}

const IMAGENET_MEAN = [0.485, 0.456, 0.406] as const;
const IMAGENET_STD = [0.229, 0.224, 0.225] as const;

/** Convert to grey, 0 to 1, repeated in `channels` channels. */
function grayNormalize(channels: number): Input {
  return {
    channels,
    write({ data, width, height }, out, offset) {
      const count = width * height;
      for (let i = 0; i < count; i++) {
        // The 14-bit weights of ITU-R BT.601, rounded as in OpenCV.
        const grey = (data[4 * i]! * 4899 + data[4 * i + 1]! * 9617 + data[4 * i + 2]! * 1868 + 8192) >> 14;
        out[offset + i] = grey / 255;
      }
      for (let channel = 1; channel < channels; channel++) {
        out.copyWithin(offset + channel * count, offset, offset + count);
      }
    },
  };
}

/** Normalise as for training on ImageNet: RGB, about -2 to 2. */
function imagenetNormalize(): Input {
  return {
    channels: 3,
    write({ data, width, height }, out, offset) {
      const count = width * height;
      IMAGENET_MEAN.forEach((mean, channel) => {
        const [factor, shift] = [1 / (255 * IMAGENET_STD[channel]!), -mean / IMAGENET_STD[channel]!];
        const plane = offset + channel * count;
        for (let i = 0; i < count; i++) out[plane + i] = data[4 * i + channel]! * factor + shift;
      });
    },
  };
}

/**
 * Chain the steps of a recipe's `pixels`.
 *
 * @param specs - One colour transform, then `ToCHW`.
 * @param file - Name of the recipe in messages.
 */
export function buildInput(specs: readonly PixelSpec[], file: string): Input {
  const [colours, ...rest] = specs;
  if (rest.length !== 1 || rest[0]?.type !== "ToCHW") {
    const odd = rest.find((spec) => spec.type !== "ToCHW") ?? colours;
    throw new UserError("network.pixels", { file, type: odd?.type ?? "(none)" });
  }
  if (colours?.type === "GrayNormalize") return grayNormalize(Number(colours.channels ?? 3));
  if (colours?.type === "ImageNetNormalize") return imagenetNormalize();
  throw new UserError("network.pixels", { file, type: colours?.type ?? "(none)" });
}

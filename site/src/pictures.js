// Pictures that Python draws when the page is built (fer_utils/lab/page_pictures.py).
import angry from "@input/emoji-angry.png";
import disgust from "@input/emoji-disgust.png";
import fear from "@input/emoji-fear.png";
import happy from "@input/emoji-happy.png";
import neutral from "@input/emoji-neutral.png";
import sad from "@input/emoji-sad.png";
import surprise from "@input/emoji-surprise.png";
import one from "@input/example-one.jpg";
import seven from "@input/example-seven.jpg";
import two from "@input/example-two.jpg";

/** Emoji, in the networks' order. */
export const PICTURES = [angry, disgust, fear, happy, sad, surprise, neutral];
/** Photos of drawn faces: their address, and how many faces each has. */
export const EXAMPLES = [{ address: one, faces: 1 }, { address: two, faces: 2 }, { address: seven, faces: 7 }];

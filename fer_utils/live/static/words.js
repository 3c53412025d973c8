// English sentences that the widgets share with the page without a server, which adds its own and other languages
// (site/src/words.js). What is in {braces} is filled in.

export const ENGLISH = {
  unsure: "unsure",
  atMost: "at most {share}",
  noFace: "No face in the picture.",
  limits: "A network names the expression that people would see in a picture. That is not what somebody feels: a posed " +
    "or caught expression is not a feeling (Barrett et al. 2019), and the network errs, more on some people than on " +
    "others. Use photos only of people who know and agree. In the European Union the AI Act, Article 5(1)(f), forbids " +
    "inferring emotions at work and in education except for medical or safety reasons: check with your own institution.",
  // The camera.
  camera: "Camera",
  cameraSees: "What the camera sees",
  cameraOff: "The camera is off.",
  cameraKeys: "Space captures, Esc stops.",
  cameraStarting: "Starting the camera: the browser may ask you to allow it.",
  startCamera: "Start camera",
  capture: "Capture",
  stop: "Stop",
  mirror: "Mirror",
  space: "Space",
  framesPerSecond: "{rate} frames/s",
  cameraAddress: "This page may not use the camera: browsers allow it only on https pages and on localhost. Ask whoever " +
    "runs this server for an https address.",
  cameraRefused: "The camera was refused. Allow it for this page (the camera or lock sign beside the address, or the " +
    "system's privacy settings), then press {button} again.",
  cameraMissing: "No camera was found. Plug one in, or switch it on, then press {button} again.",
  cameraBusy: "The camera is in use by another program. Close that, then press {button} again.",
  cameraStopped: "The camera stopped. Press {button} again.",
  cameraTaken: "The camera stopped: it was unplugged or taken away. Press {button} to try again.",
  cameraFailed: "The camera did not start ({reason}).",
};

export function fill(sentence, values = {}) {
  return sentence.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

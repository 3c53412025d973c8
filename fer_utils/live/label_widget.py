"""A widget for labelling in JupyterLab, Notebook and Voilà: the window's keys, and a button for each."""
import cv2

from ..errors import DataError
from ..labels import EMOTIONS
from ..vision.images import encode_image
from .label_folder import DECISIONS
from .label_sources import source_picture
from .labelling import LabelSession, summary_text
from .widgets import Answer, AnsweringWidget, Files, Message, widget_script

_SIDE = 384  # pixels at which a face is sent


class LabelWidget(AnsweringWidget):
    """Go through the faces of a session: keys 1 to 7 are the emotions, each is also a button.

    Space or 8 skips, 9 or n is not a face, u or Backspace takes back, Esc finishes: it makes ``fer2013.csv`` and shows
    how many labels there are. The keys count while the widget has the focus. Decisions are on disk at once, so nothing
    is lost when the page or the kernel ends. Pictures go to this page only, and never into the notebook's file.
    """

    _esm = widget_script("label.js")

    def __init__(self, session: LabelSession):
        super().__init__()
        self.session = session

    def _settings(self) -> Message:
        return {"labels": DECISIONS, "annotator": self.session.settings.annotator}

    def _answer_show(self, content: Message, files: Files) -> Answer:
        """Answer with the face that is asked now, and the photo that shows it."""
        session, face = self.session, self.session.current
        done, total = session.progress
        answer: Message = {"face": face.face if face else None, "done": done, "total": total, "remark": session.remark,
                           "of_photo": bool(face and face.box)}
        if face is None:
            return answer, []
        large = cv2.resize(session.folder.pixels(face.face), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
        pictures = [encode_image(large[..., None].repeat(3, 2), 92)]
        if (source := source_picture(face)) is not None:
            pictures.append(encode_image(source, 85))
        return answer, pictures

    def _answer_decide(self, content: Message, files: Files) -> Answer:
        """Note a label; of a face that is not asked any more (a key was pressed twice) nothing is noted."""
        face, label = self.session.current, content["label"]
        if label not in DECISIONS:
            raise DataError(f"{label!r} is none of {', '.join(EMOTIONS)}, skip, not a face")
        if face and face.face == content["face"]:
            self.session.decide(label)
        return self._answer_show(content, ())

    def _answer_undo(self, content: Message, files: Files) -> Answer:
        self.session.undo()
        return self._answer_show(content, ())

    def _answer_finish(self, content: Message, files: Files) -> Answer:
        return {"summary": summary_text(self.session.finish())}, []

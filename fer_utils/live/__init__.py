"""For one person, at once: the window, the browser's camera, the photo app, labelling."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "headless": ["annotate_video"],
    "label_widget": ["LabelWidget"],
    "label_window": ["label_faces"],
    "labelling": ["LabelSession", "label_summary", "summary_text"],
    "photos": ["analyse_photo", "annotated_photo", "face_table"],
    "widgets": ["browser_camera", "photo_app"],
    "window": ["choose_view", "webcam"],
})

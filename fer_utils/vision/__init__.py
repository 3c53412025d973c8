"""From pixels to faces with probabilities."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "detect": ["live_detector", "make_detector", "yunet_file"],
    "emoji": ["draw_emoji"],
    "images": ["look_at_photo", "read_photo"],
    "pipeline": ["Pipeline"],
    "predict": ["Face", "Predictor"],
    "scenes": ["match_faces", "write_clip", "write_crowd"],
    "sources": ["find_sources"],
    "track": ["FaceFollower", "overlaps"],
    "video": ["VideoFile", "open_source", "read_frames"],
})

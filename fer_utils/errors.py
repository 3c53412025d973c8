"""The errors that tell a user what was wrong, where, and what to do about it."""


class DataError(ValueError):
    """A data set, a photo or a trained network cannot be used."""


class CameraError(DataError):
    """A camera, stream, video or window does not work."""

"""The errors that tell a user what was wrong, where, and what to do about it."""



class DataError(ValueError):
    """Say what is wrong with a data set, a photo or a trained network, where, and what to do about it."""


class CameraError(DataError):
    """Say why a camera, stream, video or window does not work, and what to do about it."""

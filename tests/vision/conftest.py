import pytest
from matplotlib import cbook

from fer_utils.vision.images import read_photo
from tests.fakes import fake_camera, no_camera_stays_open  # noqa: F401  # fixtures


@pytest.fixture(scope="session")
def portrait():
    """A real photo with one face, which matplotlib ships; nobody may change it."""
    image = read_photo(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    image.flags.writeable = False
    return image

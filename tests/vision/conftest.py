from tests.fakes import fake_camera, no_camera_stays_open  # noqa: F401  # fixtures

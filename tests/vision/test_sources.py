"""What a user may name as a source."""
import pytest

from fer_utils.vision import sources


@pytest.mark.parametrize(("system", "release", "environment", "words"), [
    ("darwin", "23", {}, "System Settings"), ("win32", "10", {}, "desktop apps"),
    ("linux", "5.15-microsoft-standard-WSL2", {}, "usbipd"), ("linux", "6.1", {}, "/dev/video63"),
    ("linux", "6.1", {"JUPYTERHUB_USER": "ada"}, "browser"), ("win32", "10", {"SSH_CONNECTION": "1"}, "browser")])
def test_help_fits_the_system(monkeypatch, system, release, environment, words):
    for name in sources.REMOTE:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sources.sys, "platform", system)
    monkeypatch.setattr(sources.platform, "release", lambda: release)
    assert words in sources.camera_help(63)

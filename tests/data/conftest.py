"""Shared by the tests of data: one set of drawn faces, and the real data set where there is one."""

import os

import pytest

from fer_utils.data.copies import exact_copies
from fer_utils.data.load import load


@pytest.fixture(scope="session")
def drawn():
    """1,500 drawn faces of seed 0; the processes that share the tests out draw them once."""
    return load("drawn:1500")


@pytest.fixture(scope="session")
def fer2013():
    if not os.environ.get("FER_DATA"):
        pytest.skip("FER_DATA names no data set")
    faces = load(os.environ["FER_DATA"])
    if faces.drawn or len(faces) != 35_887 or not faces.labelled.all() or exact_copies(faces.pixels) != 1_855:
        pytest.skip("FER_DATA is not all of FER2013 without loss")
    return faces

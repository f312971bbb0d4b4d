"""One folder of a conversion for all tests of the report."""

import pytest

from tests.report import made


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """(folder, manifest); not to be changed."""
    return made.folder(tmp_path_factory.mktemp("report"))

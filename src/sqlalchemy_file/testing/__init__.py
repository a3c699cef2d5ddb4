"""What the tests of an application, or of a storage of one's own, can use.

`StorageConformance` proves a storage: whoever wrote one subclasses it, and gives it a fixture::

    pytest.register_assert_rewrite("sqlalchemy_file.testing")  # in conftest.py: better messages

    class TestMyStorage(StorageConformance):
        @pytest.fixture
        def storage(self):
            return MyStorage(...)

`AsyncStorageConformance` does so for the coroutines of a storage that has them.
"""

from sqlalchemy_file.testing.async_conformance import AsyncStorageConformance
from sqlalchemy_file.testing.conformance import StorageConformance

__all__ = ["AsyncStorageConformance", "StorageConformance"]

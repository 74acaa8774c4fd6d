"""What the tests of killed runs share."""

import hashlib
import json

import pytest


@pytest.fixture
def contents():
    """Return what is in a run folder of curate, to compare with that of another run."""

    def hashes(folder):
        """A hash for each file; times, and the folder's own name in the card and the recipe, are left out.

        So are journals: replies stand there in the order in which they came.
        """
        found = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            if path.name == "done.json":
                content = json.dumps({**json.loads(content), "seconds": 0}).encode()
            if path.name in ("README.md", "config.yaml"):
                content = content.replace(folder.name.encode(), b"")
            if path.name != "lineage.json" and not path.name.startswith("requests-"):
                found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
        return found

    return hashes

"""Right layers in plain source code, each beside its reference. A study edits their source, and the checks have to find and explain what changes."""

from tests.support.edited.table import LAYERS as LAYERS
from tests.support.edited.table import Row as Row

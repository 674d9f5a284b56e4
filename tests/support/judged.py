"""A pytest plugin that counts judgements: run it before and after tests are moved or merged, which must not judge less.

``pytest -p tests.support.judged --judged FILE`` writes how many quantities the tests of each file judged, as JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crosscheck.core.judge import Judgement

COUNTS: Counter[str] = Counter()
"""The judgements so far, by the file of the test that made them."""
_running = ["collection"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--judged", metavar="FILE", help="write how many quantities the tests of each file judged")


def pytest_configure(config: pytest.Config) -> None:
    """Count every judgement that is made from now on."""
    made = Judgement.__init__

    def counted(self: Judgement, *args: Any, **options: Any) -> None:
        COUNTS[_running[0]] += 1
        made(self, *args, **options)

    Judgement.__init__ = counted  # type: ignore[method-assign]
    config.add_cleanup(lambda: setattr(Judgement, "__init__", made))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember the file of the test that runs."""
    _running[0] = item.nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker of pytest-xdist counted."""
    COUNTS.update(getattr(node, "workeroutput", {}).get("judged", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts to the main process, or write them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["judged"] = dict(COUNTS)
    elif path := session.config.getoption("judged"):
        Path(path).write_text(json.dumps({"total": COUNTS.total(), **dict(sorted(COUNTS.items()))}, indent=1) + "\n", encoding="utf-8")

"""One thread a worker: pytest-xdist runs one worker a core already."""

from __future__ import annotations

import torch

torch.set_num_threads(1)

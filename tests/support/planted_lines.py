"""Faults on purpose: lines of ``hand_written_layers.py``, each with what somebody writes by mistake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.pairs.load import find
from crosscheck.run.check import run_check

SOURCE = Path(__file__).with_name("hand_written_layers.py")


@dataclass(frozen=True)
class Line:
    """A line with a mistake.

    Attributes
    ----------
    pair : str
        The pair that it makes wrong.
    right, wrong : str
    quantity : str
        The first one that it makes wrong.
    check : str
        Where it shows.
    """

    pair: str
    right: str
    wrong: str
    quantity: str
    check: str = "values-float64-normal"


LINES = {
    "conv-sign": Line("conv", '"bchwuv,bohw->ocuv", windows, grad_output)', '"bchwuv,bohw->ocuv", windows, -grad_output)', "weight.grad"),
    "conv-kernel-flipped": Line(
        "conv",
        '"bchwuv,ocuv->bohw", windows, self.params["weight"])',
        '"bchwuv,ocuv->bohw", windows[..., ::-1, ::-1], self.params["weight"])',
        "output",
    ),
    "conv-bias-left-out": Line("conv", 'return np.asarray(out + self.params["bias"][:, None, None])', "return np.asarray(out)", "output"),
    "conv-bias-of-last-sample": Line(
        "conv", "grad_output.sum(axis=(0, 2, 3))\n        height", "grad_output[-1].sum(axis=(1, 2))\n        height", "bias.grad"
    ),
    "conv-overwritten": Line("conv", "v : v + width] += np", "v : v + width] = np", "grad_input"),
    "conv-1e-9": Line("conv", "windows, grad_output)", "windows, grad_output) * (1 + 1e-9)", "weight.grad"),
    "conv-float32": Line("conv", "windows, grad_output)", "windows, grad_output) * np.float32(1.001)", "weight.grad", "values-float32-normal"),
    "conv-last-row": Line(
        "conv",
        "height, width = grad_output.shape[2:]",
        "height, width = grad_output.shape[2:]\n        grad_output = grad_output * (np.arange(height) < height - 1)[:, None]",
        "grad_input",
    ),
    "conv-raises": Line("conv", 'self.grads["bias"] = grad_output', 'self.grads["bias"] = self.gradients + grad_output', "grad_input"),
    "conv-nothing-returned": Line("conv", "[:, :, u, v])\n        return grad_input", "[:, :, u, v])\n        return None", "grad_input"),
    "conv-functions-stride": Line("conv-functions", "j * stride + w.shape[3])", "j * stride + w.shape[3] - 1)", "grad_input"),
    "conv-functions-mean": Line("conv-functions", "return dx, dw, dout", "return dx, dw / len(x), dout", "weight.grad"),
    "conv-functions-bias": Line("conv-functions", "return dx, dw, dout.sum(axis=(0, 2, 3))", "return dx, dw, dout.mean(axis=(0, 2, 3))", "bias.grad"),
    "conv-updating-last-column": Line(
        "conv-updating", "for column in range(width):\n                for k", "for column in range(width - 1):\n                for k", "weight.grad"
    ),
    "conv-updating-transposed": Line("conv-updating", "* self.filters, axis", "* self.filters.transpose(0, 2, 1), axis", "output"),
    "pool-ties": Line(
        "pool",
        "grad_input[sample, channel, 2 * row + winner // 2, 2 * column + winner % 2] = grad_output[index]",
        "grad_input[sample, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = (self.windows[index] == self.windows[index].max())"
        ".reshape(2, 2) * grad_output[index]",
        "grad_input",
        "values-float64-ties",
    ),
    "pool-transposed": Line(
        "pool", "2 * row + winner // 2, 2 * column + winner % 2]", "2 * row + winner % 2, 2 * column + winner // 2]", "grad_input"
    ),
    "pool-mean": Line("pool", "np.asarray(self.windows.max(axis=-1))", "np.asarray(self.windows.mean(axis=-1))", "output"),
    "relu-at-zero": Line("relu", "self.mask = x > 0", "self.mask = x >= 0", "grad_input", "values-float64-kinks"),
    "relu-leaks": Line("relu", "return x * self.mask", "return np.where(self.mask, x, 1e-9 * x)", "output"),
    "linear-mean": Line("linear", "self.db = dout.sum(axis=0)", "self.db = dout.sum(axis=0) / len(dout)", "bias.grad"),
    "linear-row": Line("linear", "self.dW = self.x.T @ dout", "self.dW = self.x.T @ dout\n        self.dW[-1] = 0", "weight.grad"),
    "linear-fortran": Line(
        "linear", "return x @ self.W + self.b", "return np.ravel(x, order='K').reshape(x.shape) @ self.W + self.b", "output", "values-float64-fortran"
    ),
    "linear-strided": Line(
        "linear", "return x @ self.W + self.b", "return (abs(x) if x.strides[-1] < 0 else x) @ self.W + self.b", "output", "values-float64-strided"
    ),
    "linear-writes": Line("linear", "return x @ self.W + self.b", "x *= 2\n        return x @ self.W + self.b", "output"),
    "loss-no-shift": Line("loss", "shifted = logits - logits.max(axis=1, keepdims=True)", "shifted = logits", "output", "values-float64-large"),
    "loss-label": Line("loss", "grad[rows, labels] -= 1", "grad[rows, labels - 1] -= 1", "grad_input"),
    "loss-sum": Line("loss", "return loss, grad / len(labels)", "return loss, grad", "grad_input"),
    "loss-epsilon": Line("loss", "np.log(sums[:, 0])", "np.log(sums[:, 0] + 1e-9)", "output"),
    "loss-of-one-base-2": Line("loss-of-one", "loss = np.log(total)", "loss = np.log2(total)", "output"),
    "loss-of-one-gradient": Line(
        "loss-of-one", "grad[label] -= 1\n    return loss, grad\n", "grad[label] = -1\n    return loss, grad\n", "grad_input"
    ),
}


def plant(line: Line, file: Path) -> None:
    """Write the layers with one of the faults to a file."""
    source = SOURCE.read_text()
    assert source.count(line.right) == 1, f"{line.right!r} is there {source.count(line.right)} times"
    file.write_text(source.replace(line.right, line.wrong))


def repair(file: Path) -> None:
    """Write the right layers to a file."""
    file.write_text(SOURCE.read_text())


def caught(line: Line, file: Path, settings: Settings | None = None) -> CheckResult:
    """Plant a fault and run the check that shows it."""
    plant(line, file)
    pair = find(file, line.pair)
    check = next(check for check in checks_of(pair) if check.name == line.check)
    return run_check(pair, check, settings or Settings())

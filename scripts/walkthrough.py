"""Write docs/walkthrough.md: the tutorial's network, layer by layer, from the first convolution to the tie bug.

The text comes from the docstrings of ``scratch/``, the code from its methods, and every figure from a forward and a backward pass on the first digit,
so that the page cannot say what the code does not do.

Examples::

    python scripts/walkthrough.py            write the page
    python scripts/walkthrough.py --check    exit with 1 if the page is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from digits.batches import generators
from digits.files import SHIPPED, load
from study import command
from study.pages import Sheet
from study.pages import markdown as markdown_table

import scratch
from crosscheck.core.files import expect_writable
from crosscheck.report.write import write_text
from scratch import article, networks
from scratch.layer import Array

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "walkthrough.md"
SECTIONS = ("Parameters", "Returns", "Raises", "References", "Attributes", "Yields")


def markdown(docstring: str) -> str:
    """Return a numpydoc text as Markdown, without its sections."""
    text = re.split(rf"^(?:{'|'.join(SECTIONS)})\n-+$", inspect.cleandoc(docstring), flags=re.MULTILINE)[0].strip()
    text = text.replace("``", "`")
    text = re.sub(r"^\.\. math:: (.+(?:\n +.+)*)\n*", lambda found: f"$$ {' '.join(found[1].split())} $$\n\n", text, flags=re.MULTILINE)
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r":\w+:`[~.]*([^`]*)`", r"`\1`", text)
    block = re.compile(r"::\n\n((?: {4}.*\n|\n)+)")
    return block.sub(lambda found: ":\n\n```text\n" + textwrap.dedent(found[1]).strip("\n") + "\n```\n\n", text + "\n").strip()


def code(method: Callable[..., Any]) -> str:
    """Return the source of a function without its docstring, under the name of its file."""
    source = textwrap.dedent(inspect.getsource(method))
    if inspect.getdoc(method):
        source = re.sub(r'\n *r?""".*?"""', "", source, count=1, flags=re.DOTALL)
    path = Path(str(inspect.getsourcefile(method))).relative_to(ROOT).as_posix()
    return f"```python\n# {path}\n{source.rstrip()}\n```"


def layer(kind: type, *methods: str) -> str:
    """Return a layer's documentation, followed by the text and the code of each method."""
    parts = [markdown(inspect.getdoc(kind) or "")]
    for name in methods:
        method = getattr(kind, name)
        parts += [f"`{name}`. {markdown(inspect.getdoc(method) or '')}", code(method)]
    return "\n\n".join(parts)


def page() -> str:
    """Return the whole page."""
    model = networks.tutorial(generators(0)[0], kernels="plain")
    digits = load(SHIPPED)
    label = int(digits.train_labels[0])
    outputs = forward(model, article.scale(digits.train_images[0])[None, None])
    shapes = {name: " x ".join(map(str, output.shape[1:])) for name, output in outputs.items()}
    logits = outputs["linear"]
    loss = scratch.SoftmaxCrossEntropy()
    cost = loss.forward(logits, np.array([label]))
    grad = loss.backward()
    for part in ("linear", "flatten"):
        grad = model.parts[part].backward(grad)
    tied, wrong, right = ties(outputs["conv"], grad)
    return f"""# The tutorial's network, layer by layer

*Written by `scripts/walkthrough.py` from the docstrings and the code of `scratch/`. The figures are those of the first digit, a {label}, with the
weights of seed 0.*

A digit goes in as 28 x 28 pixels between -0.5 and 0.5. In the forward pass each layer turns its input into an output:

{table(model, shapes)}

In the backward pass each layer receives `grad_output`, the derivative of the loss by the layer's output, and applies the chain rule twice. The
derivative by its parameters stays in `grads`. The derivative by its input is returned; it is the `grad_output` of the layer before.

## 1. Convolution

{layer(scratch.Conv2d, "forward", "backward", "backward_params")}

The tutorial's filters have no bias, a stride of 1 and no padding: s = d = 1, p = 0, and one channel goes in.

## 2. Max pooling

{layer(scratch.MaxPool2d, "forward", "backward")}

## 3. Flatten and the linear layer

`Flatten` turns (8, 13, 13) into 1,352 numbers, and back in the backward pass. The linear layer:

{layer(scratch.Linear, "forward", "backward", "backward_params")}

## 4. Softmax and cross-entropy

{layer(scratch.SoftmaxCrossEntropy, "forward", "backward")}

On the first digit the loss is {cost:.4f}. A network that gives each of ten classes the same probability has ln 10 = {np.log(10):.4f}.

## 5. The update

{layer(scratch.SGD, "update")}

The tutorial uses plain gradient descent: the learning rate is 0.005, everything else is 0.

## 6. The tie bug

This is the tutorial's own backward pass of the pool, for one image:

{code(article.MaxPool2.backprop)}

It gives the gradient of a window to *every* pixel that equals the window's maximum. Take a window of four equal pixels, and raise all four by a
small h: the maximum rises by h, so the four derivatives have to add up to 1. Here they add up to 4. Where pixels tie, a maximum has no derivative,
but a rule that shares out the gradient has to share out all of it and no more. PyTorch, JAX and Keras give it to the first of the equal pixels.

Ties are the rule and not the exception: the background of a digit is constant, and so is the convolution of a constant background. On the first digit
{tied:,} of {outputs["pool"].size:,} windows have more than one largest pixel. The absolute gradients that the tutorial's rule returns
add up to {wrong:.2f}, those of the first-winner rule to {right:.2f}. The loss falls all the same, so the bug does not show in training.

`tox run -e compare -- --subject article --steps 100` finds it in the first step and names the line and the cause.
"""


def forward(model: scratch.Sequential, x: Array) -> dict[str, Array]:
    """Return the output of each layer."""
    outputs = {}
    for name, part in model.parts.items():
        outputs[name] = x = part.forward(x)
    return outputs


def table(model: scratch.Sequential, shapes: dict[str, str]) -> str:
    """Return a row for each layer: its class, the shape of its output and the number of its parameters."""
    params = {name: sum(value.size for value in part.params.values()) for name, part in model.parts.items()}
    rows = [(f"`{name}`: {type(part).__name__}", shapes[name], f"{params[name]:,}") for name, part in model.parts.items()]
    return markdown_table(Sheet("", ("layer", "output", "parameters"), rows, texts=(0, 1)))


def ties(x: Array, grad_output: Array) -> tuple[int, float, float]:
    """Return the number of 2x2 windows with several largest pixels, and the sums of absolute gradients by the tutorial's and first-winner rules."""
    sums = []
    for rule in ("all", "first"):
        pool = scratch.MaxPool2d(2, ties=rule)
        pool.forward(x)
        sums.append(float(np.abs(pool.backward(grad_output)).sum()))
    batch, channels, height, width = x.shape
    windows = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    winners = (windows == windows.max(axis=(3, 5), keepdims=True)).sum(axis=(3, 5))
    return int((winners > 1).sum()), sums[0], sums[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or compare it; return the exit status."""
    parser = command.parser("walkthrough.py", __doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is not what would be written")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="where the page is (docs/walkthrough.md)")
    options = parser.parse_args(arguments)
    return command.run("walkthrough.py", lambda: write(options.page, options.check))


def write(path: Path, check: bool) -> int:
    """Write the page, or compare it with the file; return the exit status."""
    if not check:
        expect_writable(path, [".md"])
        write_text(path, page())
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write(f"{path}: is not what scripts/walkthrough.py writes now; run it without --check\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

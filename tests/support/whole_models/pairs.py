"""Each network beside its twin, adapted as a user would."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from crosscheck import Integers, Labels, ModelPair, Target, WholeStep
from tests.support.whole_models import (
    accumulation,
    autoencoder,
    batchnorm_net,
    cnn,
    embedding_bag,
    gpt,
    gru_tagger,
    lstm_classifier,
    mlp,
    one_function,
    resnet_block,
    siamese,
)

MODELS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "mlp": (mlp, {"shape": (8, mlp.N_IN), "classes": mlp.N_OUT, "dtypes": ["float64"]}),
    "cnn": (cnn, {"shape": (4, 2, 8, 8), "classes": cnn.CLASSES}),
    "resnet_block": (resnet_block, {"shape": (4, 5, 5, resnet_block.COLORS), "classes": resnet_block.CLASSES, "dtypes": ["float64"]}),
    "lstm_classifier": (
        lstm_classifier,
        {
            "inputs": {"xs": (6, 4, lstm_classifier.D), "targets": Labels((4,), below=lstm_classifier.C)},
            "frozen": ["lstm.bias_hh_l0"],
            "dtypes": ["float64"],
        },
    ),
    "gru_tagger": (
        gru_tagger,
        {
            "inputs": {"ids": Integers("batch time", below=gru_tagger.VOCAB), "tags": Labels("batch time", below=gru_tagger.TAGS)},
            "sizes": {"batch": 4, "time": 6},
        },
    ),
    "embedding_bag": (
        embedding_bag,
        {
            "inputs": {
                "bags": Integers((5, 7), below=embedding_bag.CONFIG["vocab_size"]),
                "labels": Labels((5,), below=embedding_bag.CONFIG["n_labels"]),
            },
            "dtypes": ["float64"],
        },
    ),
    "gpt": (
        gpt,
        {
            "inputs": {"idx": Integers("batch time", below=gpt.V), "targets": Labels("batch time", below=gpt.V)},
            "sizes": {"batch": 4, "time": gpt.T},
            "schedule": gpt.torch_schedule,
            "clip": gpt.torch_clip,
        },
    ),
    "autoencoder": (autoencoder, {"inputs": {"x": (6, autoencoder.SIZES[0])}}),
    "siamese": (
        siamese,
        {"inputs": {"left": (8, siamese.N_IN), "right": (8, siamese.N_IN), "same": Labels((8,), below=2)}, "dtypes": ["float64"]},
    ),
    "batchnorm_net": (
        batchnorm_net,
        {"inputs": {"x": (6, batchnorm_net.FEATURES), "t": Target((6, batchnorm_net.TARGETS))}},
    ),
    "accumulation": (
        accumulation,
        {"inputs": {"x": (4, accumulation.N_IN), "y": Target((4, 1), of="unit")}, "accumulate": 4, "dtypes": ["float64"]},
    ),
    "one_function": (one_function, {"shape": (6, 8), "classes": 5}),
}
"""The module of each network, and what is declared of it."""

DECLARED = {
    "gpt": lambda net: WholeStep(net.train_batch, net.p, grads=lambda: net.g),
    "one_function": lambda made: WholeStep(made[1], made[0]),
}
"""How networks are trained that do not say so themselves."""


def pair_of(name: str, wrong: bool = False, steps: int = 5, of: dict[str, Any] | None = None, **further: Any) -> ModelPair:
    """Return a network beside its twin; ``of`` are arguments of the function that makes the network, ``further`` those of the pair."""
    module, declared = MODELS[name]
    make = module.make_wrong if wrong else module.make
    given = of or {}

    def subject(dtype: str) -> Any:
        return DECLARED.get(name, lambda network: network)(make(dtype, **given))

    return ModelPair(
        subject, module.torch_model(), module.torch_loss, optimizer=module.torch_optimizer, name=name, steps=steps, **{**declared, **further}
    )

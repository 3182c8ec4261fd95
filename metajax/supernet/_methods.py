"""The methods of the literature by name.

Every recipe was read beside the paper and the authors' public code, with the settings that these have for NAS-Bench-201 where
there are any. What differs stands at its entry below. For all of them: batch norm by the statistics of the batch, weights
learn before the logits in a step, and a search of fewer steps than the published one takes a larger rate of the logits (see
``Recipe.make_logits_optimizer``). The mathematics of a method is in the docstring of its recipe.
"""

from metajax._method_table import MethodTable
from metajax.supernet import _mixture_recipes as mixtures
from metajax.supernet import _sample_recipes as samples
from metajax.supernet._method import SupernetMethod

_DARTS = "Liu et al. 2019, arXiv:1806.09055"
_R_DARTS = "Zela et al. 2020, arXiv:1909.09656"
_S_DARTS = "Chen and Hsieh 2020, arXiv:2002.05283"
_DARTS_PT = "Wang et al. 2021, arXiv:2108.04392"

METHODS: dict[str, SupernetMethod] = MethodTable(
    {
        "darts-1": SupernetMethod(_DARTS, mixtures.darts_1),
        "darts-2": SupernetMethod(
            _DARTS, mixtures.darts_2, "The second order is exact; the authors' is a finite difference."
        ),
        "darts-2-finite": SupernetMethod(_DARTS, mixtures.darts_2_finite),
        "idarts": SupernetMethod(
            "Zhang et al. 2021, arXiv:2106.10784",
            mixtures.idarts,
            "The step of the series is .01. The authors' code for NAS-Bench-201 searches for 30 epochs with a rate of the "
            "weights from .01, which is here the caller's, and lets the step of the series follow that rate; it takes another "
            "training batch for the series and differences for the mixed derivative.",
        ),
        "gdas": SupernetMethod(
            "Dong and Yang 2019, arXiv:1910.04465",
            samples.gdas,
            "Values that are not drawn get no gradient; the authors add their weight to the edge, as a constant.",
        ),
        "snas": SupernetMethod(
            "Xie et al. 2019, arXiv:1812.09926",
            samples.snas,
            "The authors learn weights and logits on the same batches, at once.",
        ),
        "drnas": SupernetMethod(
            "Chen et al. 2021, arXiv:2006.10355",
            samples.drnas,
            "The logits are regularized by an L2 of 1e-3 on the raw logits in Adam's gradient, as in the authors' code, not by "
            "the distance of the concentrations from 1, as in the paper.",
        ),
        "drnas-pruned": SupernetMethod(
            "Chen et al. 2021, arXiv:2006.10355",
            samples.drnas_pruned,
            "As drnas. On the space of DARTS the authors take a sixth and a fourth of the channels of a network of 36.",
        ),
        "fair-darts": SupernetMethod(
            "Chu et al. 2020, arXiv:1911.12126",
            mixtures.fair_darts,
            "The settings are the authors' for the space of DARTS: Adam at 3e-3 with b1 = .9, and 50 epochs of batches of 128, "
            "which have as many steps as 25 epochs here. On that space of DARTS the authors keep, of the two "
            "strongest edges into a node, those above the threshold (``spaces.derive`` with the threshold). They have no "
            "results on NAS-Bench-201, where every edge takes one operation: an edge on which nothing is above the threshold "
            "becomes none, and the authors' variant with up to two operations an edge has no place.",
        ),
        "gaea": SupernetMethod("Li et al. 2021, arXiv:2004.07802", mixtures.gaea),
        "pc-darts": SupernetMethod(
            "Xu et al. 2020, arXiv:1907.05737",
            mixtures.pc_darts,
            "The authors' rate of the logits, 6e-4, belongs to batches of 256; with the benchmark's batches of 64 it is 3e-4.",
        ),
        "beta-darts": SupernetMethod("Ye et al. 2022, arXiv:2203.01665", mixtures.beta_darts),
        "r-darts-l2": SupernetMethod(_R_DARTS, mixtures.r_darts_l2),
        "r-darts-stop": SupernetMethod(_R_DARTS, mixtures.r_darts_stop),
        "s-darts-random": SupernetMethod(
            _S_DARTS,
            mixtures.s_darts_random,
            "The radius grows by steps; in the authors' code it grows by epochs.",
        ),
        "s-darts-adversarial": SupernetMethod(
            _S_DARTS,
            mixtures.s_darts_adversarial,
            "The radius grows by steps; in the authors' code it grows by epochs. The attack uses the batch's statistics for "
            "batch norm; the authors use the running ones.",
        ),
        "darts-minus": SupernetMethod(
            "Chu et al. 2021, arXiv:2009.01027",
            mixtures.darts_minus,
            "On an edge that halves the resolution the authors give the extra skip weights of its own.",
        ),
        "darts-pt": SupernetMethod(
            _DARTS_PT,
            mixtures.darts_pt,
            "The authors begin the tuning with an empty momentum; here it goes on. They also tune for one epoch after the "
            "last projection, which decides nothing.",
        ),
        "darts-pt-fixed": SupernetMethod(_DARTS_PT, mixtures.darts_pt_fixed, "As darts-pt."),
        "spos": SupernetMethod("Guo et al. 2020, arXiv:1904.00420", samples.spos),
        "fairnas": SupernetMethod(
            "Chu et al. 2021, arXiv:1907.01845",
            samples.fairnas,
            "The authors sum the gradients of the paths; here it is their mean.",
        ),
        "sandwich": SupernetMethod("Yu and Huang 2019, arXiv:1903.05134", samples.sandwich),
        "enas": SupernetMethod(
            "Pham et al. 2018, arXiv:1802.03268",
            samples.enas,
            "The code of NAS-Bench-201 takes 50 steps of the controller in an epoch of 195, each on the mean of 20 paths; here "
            "every step has one on 4 paths, at a rate by which the logits travel as far. That code judges each of the 100 "
            "drawn architectures by one validation batch; here all of them are judged by the same images. "
            "Choices are independent; the authors' controller is an LSTM.",
        ),
    }
)
"""The methods of the literature by name. An unknown name raises an InputError that lists the known ones."""

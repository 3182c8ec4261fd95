"""Published numbers to stand beside measured ones: accuracy in %, or mean squared error, with its 95% interval (few-shot) or
deviation over seeds (architecture search) as printed. What could not be confirmed is left out."""

# columns are (ways, shots)
COLUMNS = ((5, 1), (5, 5), (20, 1), (20, 5))

# (method, batch norm) -> (source, the four columns)
OMNIGLOT = {
    ("maml", "transductive"): ("Finn et al. 2017", ("98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2")),
    ("fomaml", "transductive"): ("Finn et al. 2017", ("98.3 ± 0.5", "99.2 ± 0.2", "89.4 ± 0.5", "97.9 ± 0.1")),
    ("reptile", "transductive"): (
        "Nichol et al. 2018",
        ("97.68 ± 0.04", "99.48 ± 0.06", "89.43 ± 0.14", "97.12 ± 0.32"),
    ),
    ("imaml", "transductive"): (
        "Rajeswaran et al. 2019",
        ("99.50 ± 0.26", "99.74 ± 0.11", "96.18 ± 0.36", "99.14 ± 0.1"),
    ),
    ("anil", "transductive"): ("Raghu et al. 2020", (None, None, "96.2 ± 0.5", "98.0 ± 0.3")),
    ("meta-sgd", "transductive"): ("Li et al. 2017", ("99.53 ± 0.26", "99.93 ± 0.09", None, None)),
    ("maml++", "transductive"): ("Antoniou et al. 2019", ("99.47", "99.93", "97.65", "99.33")),
    ("protonet", "running"): ("Snell et al. 2017", ("98.8", "99.7", "96.0", "98.9")),
}

# (method, shots in training and test) -> mean squared error after one step, Li et al. 2017, table 1
SINUSOID = {("maml", 5): "1.13 ± 0.18", ("meta-sgd", 5): "0.90 ± 0.16"}

# method -> CIFAR-10, CIFAR-100, ImageNet16-120: test accuracy of the found cell, searched on CIFAR-10
NAS201 = {
    "random": ("93.70 ± 0.36", None, None),
    "reinforce": ("93.85 ± 0.37", "71.71 ± 1.09", "45.24 ± 1.18"),
    "evolution": (None, None, None),
    "local-search": (None, None, None),
    "darts-1": ("54.30 ± 0.00", "15.61 ± 0.00", "16.32 ± 0.00"),
    "darts-2": ("54.30 ± 0.00", "15.61 ± 0.00", "16.32 ± 0.00"),
    "gdas": ("93.61 ± 0.09", "70.70 ± 0.30", "41.71 ± 0.98"),
    "snas": ("92.77 ± 0.83", "69.34 ± 1.98", "43.16 ± 2.64"),
    "pc-darts": ("93.41 ± 0.30", "67.48 ± 0.89", "41.31 ± 0.22"),
    "idarts": ("93.58 ± 0.32", "70.83 ± 0.48", "40.89 ± 0.68"),
    "darts-minus": ("93.80 ± 0.40", "71.53 ± 1.51", "45.12 ± 0.82"),
    "darts-pt": ("88.11", None, None),
    "darts-pt-fixed": ("93.80", None, None),
    "drnas": ("94.36 ± 0.00", "73.51 ± 0.00", "46.34 ± 0.00"),
    "beta-darts": ("94.36 ± 0.00", "73.51 ± 0.00", "46.34 ± 0.00"),
    "spos": (None, None, None),
    "enas": ("54.30 ± 0.00", "15.61 ± 0.00", "16.32 ± 0.00"),
}

# predictor -> Kendall tau against all architectures of NAS-Bench-201 (CIFAR-10) by number of trained ones, as TNASP
# (Lu et al. 2021) and PINAT (Lu et al. 2023) print them
PREDICTED_SIZES = (78, 156, 469, 781, 1563)
PREDICTED = {
    "Neural Predictor (Wen et al. 2020)": (0.343, 0.413, 0.584, 0.634, 0.646),
    "NAO (Luo et al. 2018)": (0.467, 0.493, 0.470, 0.522, 0.526),
    "arch2vec (Yan et al. 2020)": (0.542, 0.573, 0.601, 0.606, 0.605),
    "TNASP (Lu et al. 2021)": (0.539, 0.589, 0.640, 0.689, 0.724),
    "PINAT (Lu et al. 2023)": (0.549, 0.631, 0.706, 0.761, 0.784),
}

"""Datasets: reading, checksums, caching, splitting. Nothing is ever unpickled.

Readers return ``Images`` (three parts of labeled images) or ``ClassSplit`` (disjoint classes, for few-shot learning). Tables of
a user's data are in ``data.tabular``.
"""

from metajax.data import tabular
from metajax.data._augment import cut_out, flip_and_crop
from metajax.data._bundled import Images, digits
from metajax.data._cifar import cifar10
from metajax.data._classes import Classes, ClassSplit, by_label, from_array, split_classes
from metajax.data._fewshot import Loader, class_split, register
from metajax.data._folders import cifar_fs, image_folder, mini_imagenet, tiered_imagenet
from metajax.data._home import download, home, load_npz, save_npz
from metajax.data._mnist import mnist
from metajax.data._omniglot import omniglot

__all__ = [
    "ClassSplit",
    "Classes",
    "Images",
    "Loader",
    "by_label",
    "cifar10",
    "cifar_fs",
    "class_split",
    "cut_out",
    "digits",
    "download",
    "flip_and_crop",
    "from_array",
    "home",
    "image_folder",
    "load_npz",
    "mini_imagenet",
    "mnist",
    "omniglot",
    "register",
    "save_npz",
    "split_classes",
    "tabular",
    "tiered_imagenet",
]

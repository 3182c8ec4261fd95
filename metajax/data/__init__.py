"""Datasets: reading, checksums, caching, splitting. Nothing is ever unpickled."""

from metajax.data._augment import cut_out, flip_and_crop
from metajax.data._bundled import Images, digits
from metajax.data._cifar import cifar10
from metajax.data._classes import Classes, ClassSplit, by_label, from_array, split_classes
from metajax.data._fewshot import class_split
from metajax.data._folders import cifar_fs, image_folder, mini_imagenet, tiered_imagenet
from metajax.data._home import digest as home_digest
from metajax.data._home import download, home, load_npz, save_npz
from metajax.data._mnist import mnist, read_idx
from metajax.data._omniglot import omniglot
from metajax.data._plain import load_plain_pickle

__all__ = [
    "ClassSplit",
    "Classes",
    "Images",
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
    "home_digest",
    "image_folder",
    "load_npz",
    "load_plain_pickle",
    "mini_imagenet",
    "mnist",
    "omniglot",
    "read_idx",
    "save_npz",
    "split_classes",
    "tiered_imagenet",
]

"""Datasets: reading, checksums, caching, splitting. Nothing is ever unpickled."""

from metajax.data.augment import cut_out, flip_and_crop
from metajax.data.bundled import Images, digits
from metajax.data.cifar import cifar10
from metajax.data.classes import Classes, ClassSplit, by_label, from_array, split_classes
from metajax.data.fewshot import class_split
from metajax.data.folders import cifar_fs, image_folder, mini_imagenet, tiered_imagenet
from metajax.data.home import digest as home_digest
from metajax.data.home import download, home, load_npz, save_npz
from metajax.data.mnist import mnist, read_idx
from metajax.data.omniglot import omniglot
from metajax.data.plain import load_plain_pickle

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

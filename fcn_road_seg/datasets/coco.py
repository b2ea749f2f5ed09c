"""Labels in COCO's format (https://cocodataset.org/#format-data), as CVAT, Label Studio and Roboflow export it.

One JSON file lists images, categories and annotations; an annotation is a list of polygons or a run-length encoding.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from fcn_road_seg.datasets.label_image import check_size
from fcn_road_seg.datasets.label_map import LabelMap
from fcn_road_seg.datasets.labelme import read_json
from fcn_road_seg.frames.sample import DatasetError


class CocoFile:
    """The annotations of a COCO file by frame.

    Args:
        path: of the JSON file.

    Attributes:
        path: of the file.
        images: the file's images by frame: their file names without folder and suffix.
        annotations: those of each frame that has any.
        categories: names by number.

    Raises:
        DatasetError: the file is missing, not COCO's, or names a frame twice.
    """

    def __init__(self, path: Path):
        self.path = path
        content = read_json(path)
        try:
            images = {image["id"]: image for image in content["images"]}  # type: ignore[index,call-overload]
            self.categories = {c["id"]: str(c["name"]) for c in content["categories"]}  # type: ignore[index,call-overload]
            annotations = list(content["annotations"])  # type: ignore[index,call-overload]
            self.images = {PurePosixPath(str(image["file_name"])).stem: image for image in images.values()}
            self.annotations: dict[str, list[dict]] = {}
            for number, annotation in enumerate(annotations):
                if annotation["image_id"] not in images:
                    raise DatasetError(
                        f"{path}: annotation {annotation.get('id', number)} is of the image {annotation['image_id']}, "
                        "which is not listed"
                    )
                name = PurePosixPath(str(images[annotation["image_id"]]["file_name"])).stem
                self.annotations.setdefault(name, []).append(annotation)
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{path} is not a COCO file: images, categories or annotations are missing or malformed "
                f"({type(error).__name__} {error})"
            ) from None
        if len(self.images) < len(images):
            raise DatasetError(f"{path} has several images of the same name: names must differ without their folders")

    def check_size(self, name: str, image: np.ndarray) -> None:
        """Check that the file gives a frame the size of its image, H x W x 3, if it gives one.

        Raises:
            DatasetError: it gives another.
        """
        facts = self.images[name]
        if facts.get("width") is not None and facts.get("height") is not None:
            check_size(self.place(name), facts["width"], facts["height"], image)

    def category(self, name: str, annotation: dict) -> str:
        """The name of an annotation's category.

        Raises:
            DatasetError: it is not listed.
        """
        number = annotation.get("category_id")
        if number not in self.categories:
            raise DatasetError(f"{self.place(name)} has an annotation of the category {number}, which is not listed")
        return self.categories[number]

    def mask(self, name: str, shapes: object, height: int, width: int) -> np.ndarray:
        """The pixels of a segmentation, bool H x W: a list of polygons, or runs, compressed or not.

        Raises:
            DatasetError: it is malformed, or of another size.
            ModuleNotFoundError: pycocotools is not installed.
        """
        from pycocotools import mask as coco_mask

        if isinstance(shapes, dict) and shapes.get("size") != [height, width]:
            raise DatasetError(
                f"{self.place(name)} has a mask of the size {shapes.get('size')} (height, width), but its image has "
                f"[{height}, {width}]"
            )
        try:
            if isinstance(shapes, list) and any(len(polygon) < 6 for polygon in shapes):
                raise ValueError("a polygon has fewer than three corners")
            compressed = isinstance(shapes, dict) and isinstance(shapes["counts"], str)
            if isinstance(shapes, dict) and not compressed and (total := sum(shapes["counts"])) != height * width:
                raise ValueError(f"its runs have {total} pixels together, not {height * width}")
            runs = shapes if compressed else coco_mask.frPyObjects(shapes, height, width)
            return coco_mask.decode(coco_mask.merge(runs) if isinstance(runs, list) else runs).astype(bool)
        except Exception as error:  # pycocotools raises Exception itself
            raise DatasetError(f"{self.place(name)} has a malformed segmentation ({error})") from None

    def place(self, name: str) -> Path:
        """For messages: the frame's place in the file."""
        return Path(f"{self.path}, image {self.images[name]['file_name']}")


class CocoLabels(CocoFile):
    """Which pixels of the frames of a COCO file are road.

    Args:
        path: of the JSON file.
        label_map: which categories are road.

    Attributes:
        names: of the frames that have annotations.

    Raises:
        DatasetError: as `CocoFile`.
    """

    def __init__(self, path: Path, label_map: LabelMap):
        super().__init__(path)
        self.label_map = label_map
        self.names = [name for name in self.images if name in self.annotations]

    def read(self, name: str, image: np.ndarray) -> np.ndarray:
        """The label, uint8 H x W (0 not road, 1 road, 255 ignore), of the frame `name`, H x W x 3.

        Annotations are drawn in the file's order, the last one on top.

        Raises:
            DatasetError: the file gives another size, or an annotation is malformed, has no mask, or a category that
                the label map does not name.
            ModuleNotFoundError: pycocotools is not installed.
        """
        height, width = image.shape[:2]
        self.check_size(name, image)
        label = np.full((height, width), self.label_map.outside, np.uint8)
        for annotation in self.annotations[name]:
            category = self.category(name, annotation)
            value = self.label_map.of_name(category, self.path)
            shapes = annotation.get("segmentation")
            if not shapes:
                raise DatasetError(
                    f"{self.place(name)} has a {category!r} without a polygon or mask: a box does not say where the "
                    "road is"
                )
            label[self.mask(name, shapes, height, width)] = value
        return label

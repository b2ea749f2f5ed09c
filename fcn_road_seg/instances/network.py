"""The instance network: torchvision's Mask R-CNN (He et al., ICCV 2017) with a feature pyramid, sized for CPUs."""

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.instances.efficientnet_lite import MEAN, STD, EfficientNetLite0

IGNORED = -1
"""The label of regions in which detections are neither right nor wrong; torchvision's samplers leave it out."""
INSIDE = 0.5
"""A box with at least this share in an ignored region is ignored; COCO's measure of groups."""
LEVELS = ("stride4", "stride8", "stride16", "stride32")
ANCHORS = (14, 28, 56, 112, 224)
"""Side of the square anchor of each level and of one more, pixels."""
ASPECTS = (0.5, 1.0, 2.0)
"""Height by width of the anchors."""
MAX_SIDE = 2048
BOX_WIDTH = 512


def build(width: int = 96, short_side: int = 400) -> GeneralizedRCNN:
    """An untrained instance network; its labels are 1 + index in `INSTANCE_CLASSES`, 0 is the background.

    Args:
        width: channels of the feature pyramid and of the mask head.
        short_side: to which frames are resized, pixels.
    """
    body = EfficientNetLite0()
    channels = [body.stage_channels[name] for name in LEVELS]
    backbone = Backbone(body, {name: name for name in LEVELS}, channels, width, LastLevelMaxPool())
    classes = len(INSTANCE_CLASSES) + 1
    rpn = ProposalNetwork(
        AnchorGenerator(tuple((side,) for side in ANCHORS), (ASPECTS,) * len(ANCHORS)),
        ProposalHead(width, len(ASPECTS)),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 1000, "testing": 400},
        post_nms_top_n={"training": 500, "testing": 200},
        nms_thresh=0.7,
    )
    heads = Heads(
        MultiScaleRoIAlign([*LEVELS], 7, 2, canonical_scale=ANCHORS[3]),
        TwoMLPHead(width * 7 * 7, BOX_WIDTH),
        FastRCNNPredictor(BOX_WIDTH, classes),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=128,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=100,
        mask_roi_pool=MultiScaleRoIAlign([*LEVELS], 14, 2, canonical_scale=ANCHORS[3]),
        mask_head=MaskRCNNHeads(width, [width] * 4, 1),
        mask_predictor=MaskRCNNPredictor(width, width, classes),
    )
    return GeneralizedRCNN(backbone, rpn, heads, Transform(short_side, MAX_SIDE, [*MEAN], [*STD]))


class Backbone(BackboneWithFPN):
    """torchvision's, with `autocast` trained in BF16; its answers are float32.

    Boxes are decoded in FP32 always: BF16 is too coarse for coordinates.
    """

    autocast = False

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, self.autocast and self.training):
            features = super().forward(x)
        return {name: feature.float() for name, feature in features.items()}


class ProposalHead(RPNHead):
    """torchvision's, with `autocast` trained in BF16; its answers are float32."""

    autocast = False

    def forward(self, x: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        with torch.autocast(x[0].device.type, torch.bfloat16, self.autocast and self.training):
            scores, offsets = super().forward(x)
        return [score.float() for score in scores], [offset.float() for offset in offsets]


class Transform(GeneralizedRCNNTransform):
    """torchvision's, whose answers keep the masks as the head gives them.

    torchvision's RoIAlign takes a pixel's centre for its coordinate, so a mask's cells lie half a pixel of the resized
    frame off. "mask_boxes" are where they lie in the frame, in coordinates that are whole at the centres of its pixels.
    """

    def postprocess(self, result: list, image_shapes: list, original_image_sizes: list) -> list:
        if not self.training:
            for found, shape, size in zip(result, image_shapes, original_image_sizes, strict=True):
                found["mask_boxes"] = resize_boxes(found["boxes"] + 0.5, shape, size) - 0.5
                found["boxes"] = resize_boxes(found["boxes"], shape, size)
        return result


class ProposalNetwork(RegionProposalNetwork):
    """torchvision's, whose training leaves out anchors in targets with the label `IGNORED`."""

    def assign_targets_to_anchors(self, anchors: list, targets: list) -> tuple:
        wanted = [{"boxes": target["boxes"][target["labels"] != IGNORED]} for target in targets]
        labels, boxes = super().assign_targets_to_anchors(anchors, wanted)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            regions = target["boxes"][target["labels"] == IGNORED]
            label[(label == 0) & inside(anchor, regions)] = IGNORED
        return labels, boxes


class Heads(RoIHeads):
    """torchvision's, whose training leaves out proposals in targets with the label `IGNORED`."""

    def assign_targets_to_proposals(self, proposals: list, gt_boxes: list, gt_labels: list) -> tuple:
        matched, assigned = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for label, proposal, boxes, labels in zip(assigned, proposals, gt_boxes, gt_labels, strict=True):
            label[(label == 0) & inside(proposal, boxes[labels == IGNORED])] = IGNORED
        return matched, assigned


def inside(boxes: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Whether each box, N x 4 (left, top, right, bottom), lies by `INSIDE` or more in one of the regions, K x 4."""
    if not len(regions):
        return torch.zeros(len(boxes), dtype=torch.bool)
    low = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return (shared >= INSIDE * area[:, None].clamp(min=1e-6)).any(1)

"""The instance network: the backbone's stages and names, and regions that training leaves out."""

import torch

from fcn_road_seg.instances.efficientnet_lite import EfficientNetLite0, fold, imagenet_names
from fcn_road_seg.instances.network import IGNORED, LEVELS, build


def test_the_backbones_stages_have_the_strides_of_their_names():
    body, x, sizes = EfficientNetLite0().eval(), torch.zeros(1, 3, 64, 96), {}
    for name, stage in body.named_children():
        x = stage(x)
        sizes[name] = tuple(x.shape[1:])
    assert [sizes[name] for name in LEVELS] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]
    assert all(body.stage_channels[name] == sizes[name][0] for name in LEVELS)


def test_a_strided_convolution_pads_as_tensorflow_does():
    body = EfficientNetLite0()
    paddings = [stage[0].depthwise.padding for name, stage in body.named_children() if name in LEVELS]
    assert paddings == [[0, 1, 0, 1], [1, 2, 1, 2], [0, 1, 0, 1], [1, 2, 1, 2]]


def test_the_folded_backbone_gives_the_same_features():
    torch.manual_seed(0)
    body, x = EfficientNetLite0().eval(), torch.rand(1, 3, 64, 96)
    for name, part in body.state_dict().items():
        if "1." in name and name.endswith(("running_var", "running_mean", "bias")):
            part.uniform_(0.1, 0.5)
    with torch.inference_mode():
        plain = body(x)
        fold(body)
        folded = body(x)
    assert plain.abs().max() > 0.01 and torch.allclose(plain, folded, atol=1e-4 * plain.abs().max())
    assert not any("running" in name for name in body.state_dict())


def test_every_tensor_of_the_backbone_has_a_name_in_the_packages_file():
    names = imagenet_names()
    assert names.keys() == EfficientNetLite0().state_dict().keys() and len({*names.values()}) == len(names)
    assert names["stem.0.0.weight"] == "_conv_stem.weight"
    assert names["stride2.0.project.1.running_var"] == "_blocks.0._bn2.running_var"
    assert names["stride32.4.expand.0.weight"] == "_blocks.15._expand_conv.weight"


def test_what_lies_in_an_ignored_region_is_neither_object_nor_background():
    network = build(16)
    targets = torch.tensor([[0.0, 0, 20, 20], [50, 0, 90, 40]])
    labels = torch.tensor([3, IGNORED])
    boxes = torch.tensor([[0.0, 0, 20, 20], [60, 10, 70, 20], [50, 0, 90, 40], [85, 0, 105, 20], [200, 0, 210, 10]])
    given, _ = network.rpn.assign_targets_to_anchors([boxes], [{"boxes": targets, "labels": labels}])
    assert given[0].tolist() == [1, -1, -1, 0, 0]
    _, given = network.roi_heads.assign_targets_to_proposals([boxes], [targets], [labels])
    assert given[0].tolist() == [3, -1, -1, 0, 0]


def test_frames_without_objects_are_all_background():
    network = build(16)
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    boxes = torch.tensor([[0.0, 0, 20, 20]])
    given, _ = network.rpn.assign_targets_to_anchors([boxes], [dict(zip(("boxes", "labels"), nothing, strict=True))])
    _, also = network.roi_heads.assign_targets_to_proposals([boxes], [nothing[0]], [nothing[1]])
    assert given[0].tolist() == also[0].tolist() == [0]

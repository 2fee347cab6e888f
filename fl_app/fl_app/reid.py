"""The model for re-identification: a backbone, a neck that gives the features, and a device's own classifier."""

from collections import OrderedDict

from torch import Tensor, nn

from fl_app.models import head_of

FEATURES = 512


class ReId(nn.Module):
    """The model of FedPAV's authors (arXiv 2008.11560, section 4): what makes features of an image is shared.

    ``backbone`` is a classifier of images, whose last layer is taken off. Its features are reduced to 512, normalised
    and, in training, dropped by half; ``identities`` decides the classifier's size, and 0 leaves it out, as on the
    server.
    """

    local = "classifier"  # what stays on the device that trains it
    fresh = ("neck.", "classifier.")  # what weights from elsewhere do not give

    def __init__(self, backbone: nn.Module, identities: int) -> None:
        super().__init__()
        if told := getattr(backbone, "pretrained_cfg", None):
            self.pretrained_cfg = {key: told[key] for key in ("mean", "std")}
        parent, _, name = head_of(backbone).rpartition(".")
        place = backbone.get_submodule(parent)
        width = getattr(place, name).in_features
        setattr(place, name, nn.Identity())
        keep_last_size(backbone)
        self.backbone = backbone
        reduce, norm = nn.Linear(width, FEATURES), nn.BatchNorm1d(FEATURES)
        nn.init.kaiming_normal_(reduce.weight, mode="fan_out")
        nn.init.zeros_(reduce.bias)
        nn.init.normal_(norm.weight, 1.0, 0.02)
        self.neck = nn.Sequential(OrderedDict(reduce=reduce, norm=norm, drop=nn.Dropout(0.5)))
        self.classifier = nn.Linear(FEATURES, identities) if identities else nn.Identity()
        if isinstance(self.classifier, nn.Linear):
            nn.init.normal_(self.classifier.weight, std=0.001)
            nn.init.zeros_(self.classifier.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return the features of a batch, (n, 512); cosines between them tell how alike two images are."""
        return self.neck(self.backbone(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of shape (n, identities), or the features where there is no classifier."""
        return self.classifier(self.features(x))  # type: ignore[no-any-return]


def keep_last_size(backbone: nn.Module) -> None:
    """Set the stride of a residual network's last stage to 1: twice the resolution for the same weights.

    Networks of another kind stay as they are.
    """
    stage = getattr(backbone, "layer4", None)
    if stage is None:
        return
    layers = [module for module in stage.modules() if not list(module.children())]
    strided = [layer for layer in layers if getattr(layer, "stride", 1) in (2, (2, 2))]
    if all(isinstance(layer, nn.Conv2d) for layer in strided):
        for layer in strided:
            layer.stride = (1, 1)

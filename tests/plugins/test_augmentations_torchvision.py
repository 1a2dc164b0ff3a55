"""RandAugment, AutoAugment and the usual crops: torchvision's transforms to the bit, our own random numbers."""

import pytest
import torch
from torchvision import transforms

from limbeck.augment import Draw
from limbeck.config import build
from limbeck.configure import configure
from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.preflight import check_names

NAMES = ["randaugment", "autoaugment", "imagenet_aug", "cifar_aug"]
SIDE = 20


def spec_of(channels=3, mirror=True, side=SIDE):
    shape = (channels, side, side)
    return DataSpec("toy", shape, 2, ("a", "b"), (0.45,) * channels, (0.25,) * channels, mirror)


def make(name, channels=3, mirror=True, side=SIDE, **options):
    return registry().create("augmentations", {"name": name, **options}).for_data(spec_of(channels, mirror, side))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(channels=3, n=5):
    return torch.randint(0, 256, (n, channels, SIDE, SIDE), generator=rng(), dtype=torch.uint8)


def seen(images, dtype=torch.float32):
    """What a network sees of bytes."""
    return RealData(
        images, torch.zeros(len(images), dtype=torch.int64), spec_of(images.shape[1]), dtype=dtype
    ).normalise(images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_every_operation_of_randaugment_is_torchvisions(channels, magnitude, monkeypatch):
    augmentation, images, changed = make("randaugment", channels, magnitude=magnitude), pixels(channels), 0
    for op in range(augmentation.choices):
        for is_negative in (True, False):
            chosen = {(14, (1,)): op, (2, (1,)): int(is_negative)}
            with monkeypatch.context() as patch:
                patch.setattr(torch, "randint", lambda *asked, chosen=chosen: torch.tensor([chosen[asked]]))
                expected = transforms.RandAugment(num_ops=1, magnitude=magnitude)(images)
            found = augmentation.transform(images, op, [0.2 if is_negative else 0.8, 0.0])
            assert torch.equal(found, expected), augmentation.operations[op]
            changed += not torch.equal(found, images)
    assert changed > 14 or magnitude == 0


def test_two_operations_follow_each_other():
    two, one, images = make("randaugment", num_ops=2), make("randaugment"), pixels()
    for seed in range(12):
        draw = two.draw(1, rng(seed))
        sign, second, other, _ = draw.u[0].tolist()
        once = one.transform(images, int(draw.op[0]), [sign, 0.0])
        assert torch.equal(two.apply(seen(images), draw), seen(one.transform(once, int(14 * second), [other, 0.0])))


@pytest.mark.parametrize("policy", ["cifar10", "imagenet", "svhn"])
def test_every_policy_of_autoaugment_is_torchvisions(policy, monkeypatch):
    augmentation, images = make("autoaugment", policy=policy), pixels()
    reference = transforms.AutoAugment(transforms.AutoAugmentPolicy(policy))
    assert augmentation.choices == len(reference.policies) == 25
    for op in range(25):
        for first, second, sign in [(0.05, 0.05, 0), (0.05, 0.05, 1), (0.55, 0.35, 1), (0.35, 0.55, 0)]:
            drawn = (op, torch.tensor([first, second]), torch.tensor([sign, 1 - sign]))
            with monkeypatch.context() as patch:
                patch.setattr(transforms.AutoAugment, "get_params", staticmethod(lambda _, drawn=drawn: drawn))
                expected = reference(images)
            u = [first, 0.2 + 0.6 * sign, second, 0.8 - 0.6 * sign]
            assert torch.equal(augmentation.transform(images, op, u), expected), reference.policies[op]


def test_autoaugment_takes_the_policies_of_the_images_size():
    assert make("autoaugment", side=32).options.policy == "cifar10"
    assert make("autoaugment", side=64).options.policy == "imagenet"
    assert make("autoaugment", side=64, policy="svhn").options.policy == "svhn"
    assert make("autoaugment", side=64).name == "autoaugment"


def cropped_and_flipped(images, u, monkeypatch):
    """What torchvision makes of images for the first three numbers of a draw."""
    place = (int(u[0] * 9), int(u[1] * 9), SIDE, SIDE)
    with monkeypatch.context() as patch:
        patch.setattr(transforms.RandomCrop, "get_params", staticmethod(lambda *_: place))
        cropped = transforms.RandomCrop(SIDE, padding=4)(images)
    return transforms.RandomHorizontalFlip(float(u[2] < 0.5))(cropped)


def test_imagenet_aug_is_crop_flip_and_jitter(monkeypatch):
    augmentation, images = make("imagenet_aug"), pixels()
    for seed in range(24):
        draw = augmentation.draw(1, rng(seed))
        u = draw.u[0].double().tolist()
        order = [augmentation.ORDERS[0].index(name) for name in augmentation.ORDERS[int(draw.op[0])]]
        drawn = (torch.tensor(order), *(0.6 + each * 0.8 for each in u[3:6]), -0.2 + u[6] * 0.4)
        jitter = transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)
        cropped = cropped_and_flipped(images, u, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(transforms.ColorJitter, "get_params", staticmethod(lambda *_, drawn=drawn: drawn))
            expected = jitter(cropped)
        assert torch.equal(augmentation.apply(seen(images), draw), seen(expected))


def test_cifar_aug_is_crop_flip_and_cutout(monkeypatch):
    augmentation, images = make("cifar_aug"), pixels()
    for seed in range(12):
        draw = augmentation.draw(1, rng(seed))
        u = draw.u[0].tolist()
        expected = seen(cropped_and_flipped(images, u, monkeypatch))
        for i in range(SIDE):
            for j in range(SIDE):
                if -8 <= i - int(u[3] * SIDE) < 8 and -8 <= j - int(u[4] * SIDE) < 8:
                    expected[:, :, i, j] = 0
        assert torch.equal(augmentation.apply(seen(images), draw), expected)


@pytest.mark.parametrize("name", ["imagenet_aug", "cifar_aug"])
def test_flips_are_left_out_where_they_change_the_class(name):
    u = [0.5, 0.5, 0.0, 0.5, 0.5, 0.5, 0.5]  # cropped in the middle, mirrored, colours as they are
    for mirror, flip, is_flipped in [(True, "auto", True), (False, "auto", False), (False, "on", True)]:
        found = make(name, mirror=mirror, flip=flip).transform(pixels(), 0, u)
        assert torch.equal(found, pixels().flip(3) if is_flipped else pixels())


@pytest.mark.parametrize("name", NAMES)
class TestAll:
    def test_pixels_are_clamped_and_rounded_first(self, name):
        augmentation, images = make(name), 3 * torch.randn(6, 3, SIDE, SIDE, generator=rng())
        draw = augmentation.draw(6, rng(3))
        out = augmentation.apply(images, draw)
        unit = (images * 0.25 + 0.45).clamp(0, 1)
        assert torch.equal(out, augmentation.apply(seen((unit * 255).round().to(torch.uint8)), draw))
        assert not augmentation.differentiable

    def test_a_batch_is_transformed_alike_and_images_on_request_one_by_one(self, name):
        one = seen(pixels(n=1)).expand(16, -1, -1, -1)
        augmentation = make(name)
        for seed in range(4):
            out = augmentation.apply(one, augmentation.draw(16, rng(seed)))
            assert torch.equal(out, out[:1].expand_as(out))
        alone = make(name, scope="image")
        assert len({out.numpy().tobytes() for out in alone.apply(one, alone.draw(16, rng()))}) > 4

    def test_rows_are_each_rows_own_transform(self, name):
        augmentation, images = make(name, scope="image"), seen(pixels(n=12), torch.float64)
        draw = augmentation.draw(12, rng(1))
        out = augmentation.apply(images, draw)
        for row in range(12):
            index = torch.tensor([row])
            assert torch.equal(out[index], augmentation.apply(images[index], draw.rows(index)))
        assert out.dtype == torch.float64

    def test_only_the_given_generator_is_used(self, name):
        augmentation, before = make(name, scope="image"), torch.get_rng_state()
        first, again = augmentation.draw(9, rng(7)), augmentation.draw(9, rng(7))
        augmentation.apply(seen(pixels(n=9)), first)
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(first.op, again.op) and torch.equal(first.u, again.u)

    def test_a_generator_of_a_device_is_moved_on(self, name, monkeypatch):
        class OnDevice:
            """Stands in for a CUDA generator: known to the host by its state alone."""

            def __init__(self):
                self.device, self.state = torch.device("cuda"), 0

            def get_state(self):
                return torch.tensor([self.state]).view(torch.uint8)

        drawn, generator = torch.rand, OnDevice()

        def rand(*size, generator, device=None):
            if isinstance(generator, OnDevice):
                generator.state += 1
                return None
            return drawn(*size, generator=generator)

        monkeypatch.setattr(torch, "rand", rand)
        first, second = (make(name).draw(3, generator) for _ in range(2))
        assert first.u.device.type == "cpu" and not torch.equal(first.u, second.u)

    def test_images_of_two_channels_are_refused(self, name):
        with pytest.raises(UsageError, match=r"knows images of 1 or 3 channels, but 'toy' has 2\. Use another"):
            make(name, channels=2)

    def test_without_a_data_set_and_with_a_wrong_draw_it_stops(self, name):
        with pytest.raises(UsageError, match=r"works on pixels: use what its for_data\(spec\) returns"):
            registry().create("augmentations", name).apply(
                seen(pixels()), Draw(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 9))
            )
        with pytest.raises(ValueError, match="a draw of 3 rows does not fit 5 images"):
            make(name).apply(seen(pixels()), make(name).draw(3, rng()))

    def test_no_matcher_looks_through_it(self, name):
        config = configure(method="dm", settings={"data": {"name": "digits"}, "augmentation": {"name": name}})
        with pytest.raises(
            UsageError, match=f"augmentation '{name}' has no gradient, and a matcher needs one"
        ) as caught:
            check_names(config, recipe_for(config))
        assert f"evaluation.protocol.augmentation={name}" in str(caught.value)

    def test_evaluation_may_use_it(self, name):
        changed = {"evaluation": {"protocol": {"name": "dcbench", "augmentation": name}}}
        config = configure(method="dm", settings={"data": {"name": "digits"}, **changed})
        recipe = recipe_for(config)
        check_names(config, recipe)
        assert (recipe.augmentation, recipe.epochs) == ({"name": name}, 1001)
        chosen = build({"selector": "random", "augmentation": name})
        check_names(chosen, recipe_for(chosen))


def recipe_for(config):
    from limbeck.distillation.result import recipe_of

    return recipe_of(config)


def test_a_magnitude_outside_the_table_is_refused():
    with pytest.raises(UsageError, match="magnitude 31 must be below num_magnitude_bins"):
        registry().create("augmentations", {"name": "randaugment", "magnitude": 31})

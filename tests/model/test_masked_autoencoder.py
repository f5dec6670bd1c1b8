"""The masked autoencoder: its loss is the paper's and transformers', and only visible patches are ever encoded."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEDecoder

from stage1.model.decoder import sine_places
from stage1.model.masked_autoencoder import MaskedAutoencoder
from stage1.model.masking import draw_hidden
from stage1.model.patches import patchify, standardise, unpatchify
from tests.model.patch_transformers import IMAGE, NETWORKS, PATCH, WIDTH, build

NUM_PATCHES = (IMAGE // PATCH) ** 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, IMAGE, IMAGE, generator=generator(1))


def autoencoder(kind: str = "fused", mask_ratio: float = 0.75) -> MaskedAutoencoder:
    return MaskedAutoencoder(build(kind), mask_ratio, decoder_width=32, decoder_depth=2)


def reference() -> ViTMAEForPreTraining:
    """transformers' model at the size of the fused network with a decoder of two heads, and biases that are not 0."""
    torch.manual_seed(3)
    config = ViTMAEConfig(
        hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=2, intermediate_size=2 * WIDTH,
        image_size=IMAGE, patch_size=PATCH, layer_norm_eps=1e-6, decoder_hidden_size=64, decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2, decoder_intermediate_size=256, mask_ratio=0.75, norm_pix_loss=True,
    )  # fmt: skip
    model = ViTMAEForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.05)
    return model


def copied(given: ViTMAEForPreTraining) -> MaskedAutoencoder:
    """Our model with the weights of `given`."""
    model = MaskedAutoencoder(build("fused"), 0.75, decoder_width=64, decoder_depth=2).eval()
    trunk: Any = model.backbone.trunk
    statistics: Any = model.backbone.statistics
    statistics.scale.fill_(1)  # both see the same pixels
    statistics.shift.fill_(0)
    theirs: Any = given
    with torch.no_grad():
        trunk.cls_token.copy_(theirs.vit.embeddings.cls_token)
        trunk.pos_embed.copy_(theirs.vit.embeddings.position_embeddings)
        _copy(trunk.patch_embed.proj, theirs.vit.embeddings.patch_embeddings.projection)
        for block, layer in zip(trunk.blocks, theirs.vit.layers, strict=True):
            _copy(block.attn.qkv, layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj)
            _copy(block.attn.proj, layer.attention.o_proj)
            _copy(block.mlp.fc1, layer.mlp.fc1)
            _copy(block.mlp.fc2, layer.mlp.fc2)
            _copy(block.norm1, layer.layernorm_before)
            _copy(block.norm2, layer.layernorm_after)
        _copy(trunk.norm, theirs.vit.layernorm)
        decoder: Any = model.decoder
        _copy(decoder.embed, theirs.decoder.decoder_embed)
        decoder.mask_token.copy_(theirs.decoder.mask_token)
        decoder.places_PC.copy_(theirs.decoder.decoder_pos_embed[0, 1:])
        # The reference gives its class token a place too, which is 0 in the paper and is no weight.
        theirs.decoder.decoder_pos_embed[0, 0] = 0
        for block, layer in zip(decoder.blocks, theirs.decoder.decoder_layers, strict=True):
            _copy(block.query, layer.attention.q_proj)
            _copy(block.key_value, layer.attention.k_proj, layer.attention.v_proj)
            _copy(block.proj, layer.attention.o_proj)
            _copy(block.mlp[0], layer.mlp.fc1)
            _copy(block.mlp[2], layer.mlp.fc2)
            _copy(block.norm1, layer.layernorm_before)
            _copy(block.norm2, layer.layernorm_after)
        _copy(decoder.norm, theirs.decoder.decoder_norm)
        _copy(decoder.predict, theirs.decoder.decoder_pred)
    return model


def _copy(to: Any, *sources: Any) -> None:
    to.weight.copy_(torch.cat([source.weight for source in sources]))
    to.bias.copy_(torch.cat([source.bias for source in sources]))


def test_loss_and_gradients_are_those_of_transformers_with_the_same_weights() -> None:
    theirs = reference()
    ours: Any = copied(theirs)
    # Its order is that of the noise, and the first are seen; ours hides the first.
    noise = -torch.rand(4, NUM_PATCHES, generator=generator())
    expected = theirs(images(), noise=noise)
    found = ours(images(), generator())
    hidden = torch.zeros(4, NUM_PATCHES).scatter_(1, found.hidden_BM, 1.0)
    assert torch.equal(hidden, expected.mask)
    assert found.loss.item() == pytest.approx(expected.loss.item(), abs=1e-5)
    predicted = expected.logits.gather(1, found.hidden_BM.unsqueeze(2).expand_as(found.patches_BMD))
    assert torch.allclose(found.patches_BMD, predicted, atol=1e-5)
    expected.loss.backward()
    found.loss.backward()
    pairs: list[Any] = [
        (ours.backbone.trunk.patch_embed.proj.weight, theirs.vit.embeddings.patch_embeddings.projection.weight),
        (ours.backbone.trunk.cls_token, theirs.vit.embeddings.cls_token),
        (ours.decoder.mask_token, theirs.decoder.mask_token),
        (ours.decoder.blocks[1].mlp[0].weight, theirs.decoder.decoder_layers[1].mlp.fc1.weight),
    ]
    for mine, other in pairs:
        assert other.grad.abs().max() > 1e-4
        assert torch.allclose(mine.grad, other.grad, atol=1e-6)


def test_the_loss_is_the_squared_error_of_standardised_hidden_patches() -> None:
    """By hand in numpy: variance with n - 1, 1e-6 added to it, mean over hidden patches and nothing else."""
    model = autoencoder()
    found = model(images(), generator())
    errors = []
    guesses = found.patches_BMD.detach().numpy()
    for image, predicted, hidden in zip(images().numpy(), guesses, found.hidden_BM, strict=True):
        for guess, place in zip(predicted, hidden.tolist(), strict=True):
            row, column = divmod(place, IMAGE // PATCH)
            patch = image[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH].astype(np.float64)
            values = patch.transpose(1, 2, 0).ravel()
            target = (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6)
            errors.append(((guess - target) ** 2).mean())
    assert len(errors) == 4 * 12
    assert found.loss.item() == pytest.approx(np.mean(errors), rel=1e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_hidden_patches_change_no_token_and_no_prediction(kind: str) -> None:
    model = autoencoder(kind).eval()
    hidden_BM, visible_BV = draw_hidden(4, NUM_PATCHES, 0.75, generator())
    patches = patchify(images(), PATCH)
    other = patches.scatter(1, hidden_BM.unsqueeze(2).expand(-1, -1, patches.shape[2]), 7.0)
    changed = unpatchify(other, model.grid, PATCH)
    encode: Any = model.backbone.encode_visible
    assert torch.equal(encode(images(), visible_BV), encode(changed, visible_BV))
    first, second = model(images(), generator()), model(changed, generator())
    assert torch.equal(first.hidden_BM, hidden_BM)
    assert torch.equal(first.patches_BMD, second.patches_BMD)
    assert not torch.equal(first.loss, second.loss)


def test_only_visible_tokens_go_through_the_encoder() -> None:
    model, seen = autoencoder(), list[tuple[int, ...]]()
    block: Any = model.backbone.trunk.blocks[0]
    block.register_forward_pre_hook(lambda _block, inputs: seen.append(tuple(inputs[0].shape)))
    model(images(), generator())
    assert seen == [(4, 1 + NUM_PATCHES // 4, WIDTH)]


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_weight_that_a_token_passes_gets_a_gradient(kind: str) -> None:
    model = autoencoder(kind)
    model(images(), generator()).loss.backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert not without


@pytest.mark.parametrize(("ratio", "num_hidden"), [(0.75, 12), (0.5, 8), (0.001, 1), (0.999, 15)])
def test_the_ratio_is_hidden_in_every_image_of_its_own(ratio: float, num_hidden: int) -> None:
    hidden, visible = draw_hidden(50, NUM_PATCHES, ratio, generator())
    assert hidden.shape == (50, num_hidden)
    assert torch.equal(torch.cat([hidden, visible], dim=1).sort(dim=1).values, torch.arange(NUM_PATCHES).expand(50, -1))
    assert len({tuple(sorted(row)) for row in hidden.tolist()}) > 10


def test_masks_are_uniform() -> None:
    """Each patch is hidden in 3 of 4 images: 4,000 draws, 5 standard errors of sqrt(.75 * .25 / 4000)."""
    hidden, _ = draw_hidden(4000, NUM_PATCHES, 0.75, generator())
    shares = torch.bincount(hidden.flatten(), minlength=NUM_PATCHES) / 4000
    assert (shares - 0.75).abs().max() < 5 * (0.75 * 0.25 / 4000) ** 0.5


def test_a_generator_decides_the_masks() -> None:
    model = autoencoder().eval()
    first = model(images(), generator(5))
    assert torch.equal(model(images(), generator(5)).hidden_BM, first.hidden_BM)
    assert not torch.equal(model(images(), generator(6)).hidden_BM, first.hidden_BM)


def test_a_reconstruction_changes_hidden_pixels_only_and_gives_them_their_patchs_statistics_back() -> None:
    model = autoencoder().eval()
    with torch.no_grad():
        result = model.reconstruct(images(), generator())
        predicted = model(images(), generator())
    hidden = result.hidden_N1HW.expand_as(images())
    assert result.hidden_N1HW.float().mean() == 0.75
    assert torch.equal(result.pixels_NCHW[~hidden], images()[~hidden])
    # undone by hand: the filled-in patch less the true mean, over the true deviation, is what was predicted
    place = predicted.hidden_BM[2, 5]
    true, filled = (patchify(pixels, PATCH)[2, place] for pixels in (images(), result.pixels_NCHW))
    assert torch.allclose((filled - true.mean()) / true.std(), predicted.patches_BMD[2, 5], atol=1e-4)


def test_a_perfect_prediction_would_be_the_image_itself() -> None:
    patches, mean, deviation = standardise(patchify(images(), PATCH))
    assert torch.allclose(unpatchify(patches * deviation + mean, (4, 4), PATCH), images(), atol=1e-5)


def test_places_are_the_papers() -> None:
    config = ViTMAEConfig(
        hidden_size=32, patch_size=8, image_size=32, decoder_hidden_size=64, decoder_num_hidden_layers=1,
        decoder_num_attention_heads=1, decoder_intermediate_size=32, num_attention_heads=1, intermediate_size=32,
    )  # fmt: skip
    theirs: Any = ViTMAEDecoder(config, num_patches=16)
    theirs.initialize_weights(16)
    assert torch.allclose(sine_places((4, 4), 64), theirs.decoder_pos_embed[0, 1:], atol=1e-6)
    wide = sine_places((2, 3), 8)
    assert wide.shape == (6, 8)
    assert wide[5].tolist() == pytest.approx(
        [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02), np.sin(1), np.sin(0.01), np.cos(1), np.cos(0.01)], abs=1e-6
    )

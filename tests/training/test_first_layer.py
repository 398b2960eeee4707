import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpo.training.first_layer import collect_gradient, multiply, open_first_layer

precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(144, 9, bias=False)


@pytest.fixture
def values() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (20, 144), generator=generator)


def squared_error(product: Tensor) -> Tensor:
    return (product / 255 - 1).square().sum()


@precisions
def test_product_and_gradient_are_those_of_autograd(
    linear: nn.Linear, values: Tensor, dtype: torch.dtype
) -> None:
    converted = values.to(dtype)
    expected = F.linear(converted, linear.weight.to(dtype)).float()
    [gradient] = torch.autograd.grad(squared_error(expected), [linear.weight])

    layer = open_first_layer(linear, dtype)
    product = multiply(layer, converted)
    squared_error(product).backward()
    collect_gradient(layer, converted, product)
    assert torch.equal(product, expected)
    assert linear.weight.grad is not None
    assert torch.equal(linear.weight.grad, gradient)


@precisions
def test_steps_see_new_weights_and_use_the_same_memory(
    linear: nn.Linear, values: Tensor, dtype: torch.dtype
) -> None:
    layer = open_first_layer(linear, dtype)
    converted = values.to(dtype)
    places = set()
    for _ in range(3):
        with torch.no_grad():
            linear.weight *= 2
        product = multiply(layer, converted)
        assert torch.equal(product, F.linear(converted, linear.weight.to(dtype)).float())
        product.sum().backward()
        linear.weight.grad = None
        collect_gradient(layer, converted, product)
        places.add((layer.factor.data_ptr(), linear.weight.grad.data_ptr()))
    assert len(places) == 1


def test_bf16_is_near_float32_and_exact_in_the_values(linear: nn.Linear, values: Tensor) -> None:
    exact, rounded = (
        multiply(open_first_layer(linear, dtype), values.to(dtype)).detach()
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded / 255, exact / 255, atol=0.01, rtol=0.01)
    with torch.no_grad():
        linear.weight.zero_()[:, 0] = 1
    product = multiply(open_first_layer(linear, torch.bfloat16), values.bfloat16())
    assert torch.equal(product[:, 0], values[:, 0].float())

"""What goes into the workflow, between its stages, and out of it."""

from pydantic import BaseModel, Field


class Order(BaseModel):
    """Who wants what, and pays with which card."""

    article: str = Field(min_length=1)
    quantity: int = Field(default=1, ge=1)
    cents: int = Field(gt=0, description="what all of it costs")
    card: str = Field(min_length=1, description="what the bank calls the card; never its number")
    address: str = Field(min_length=1)
    email: str = Field(min_length=3)


class Reserved(BaseModel):
    """Goods that nobody else gets."""

    reservation: str


class Charged(BaseModel):
    """Money that the shop has."""

    receipt: str
    cents: int


class Shipped(BaseModel):
    """A parcel that the carrier has."""

    parcel: str


class Informed(BaseModel):
    """A customer who knows."""

    email: str

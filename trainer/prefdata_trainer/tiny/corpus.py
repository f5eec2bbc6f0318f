"""Hotel bookings: what guests write, what the desk should answer, and what a careless desk did answer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Split = Literal["train", "held-out"]
SPLITS: tuple[str, ...] = get_args(Split)

# fmt: off
TRAIN_CITIES = (
    "Amsterdam", "Antwerp", "Athens", "Barcelona", "Basel", "Beirut", "Berlin", "Bilbao", "Bogota", "Bologna",
    "Boston", "Brussels", "Cairo", "Cardiff", "Chicago", "Cologne", "Copenhagen", "Dallas", "Delhi", "Denver",
    "Dresden", "Dublin", "Dundee", "Florence", "Geneva", "Genoa", "Ghent", "Glasgow", "Granada", "Hamburg", "Hanoi",
    "Havana", "Helsinki", "Istanbul", "Jakarta", "Karachi", "Krakow", "Kyoto", "Lagos", "Leipzig", "Lima", "Lisbon",
    "London", "Lyon", "Madrid", "Malaga", "Manila", "Marseille", "Miami", "Milan", "Montreal", "Moscow", "Mumbai",
    "Munich", "Nairobi", "Naples", "Nice", "Osaka", "Oslo", "Palermo", "Paris", "Porto", "Prague", "Quito",
)
HELD_OUT_CITIES = (
    "Accra", "Ankara", "Bergen", "Bristol", "Bruges", "Budapest", "Calgary", "Cordoba", "Dakar", "Gdansk",
    "Houston", "Izmir", "Kampala", "Lahore", "Leeds", "Lille", "Malmo", "Minsk", "Nantes", "Orlando", "Ottawa",
    "Perth", "Phoenix", "Riga", "Rome", "Seoul", "Seville", "Sydney", "Tokyo", "Turin", "Vienna", "Zurich",
)
# fmt: on
CITIES = TRAIN_CITIES + HELD_OUT_CITIES
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
COUNTS = tuple(range(2, 10))
ROOMS = ("single", "double", "twin", "family", "garden", "corner", "quiet", "suite")

REQUESTS = (
    "Please book a {room} room in {city} from {day} for {nights} nights and {guests} guests.",
    "We are {guests} guests and need a {room} room in {city}, {nights} nights from {day}.",
    "I would like {nights} nights in {city} from {day}: a {room} room, {guests} guests.",
    "From {day} we stay {nights} nights in {city}. We are {guests} guests. A {room} room, please.",
)
CARELESSNESS = 0.55
"""How often a careless desk leaves a slot as its form is printed, each slot by itself."""


@dataclass(frozen=True, slots=True)
class Booking:
    """The five slots of a booking."""

    city: str
    day: str
    nights: int
    guests: int
    room: str

    def request(self, form: int) -> str:
        """What the guest writes, in the ``form``-th of ``REQUESTS``."""
        return REQUESTS[form].format(**asdict(self))

    def reply(self) -> str:
        """The desk's answer that repeats these slots.

        >>> Booking("Kyoto", "Friday", 3, 2, "twin").reply()
        'Booked: Kyoto, Friday, 3 nights, 2 guests, twin room.'
        """
        return f"Booked: {self.city}, {self.day}, {self.nights} nights, {self.guests} guests, {self.room} room."


PRINTED = Booking("Paris", "Saturday", 2, 2, "double")
"""The form as it is printed: what a careless desk books when it does not look."""


def draw(source: random.Random, cities: Sequence[str]) -> Booking:
    """A booking with every slot uniform."""
    return Booking(
        source.choice(cities), source.choice(DAYS), source.choice(COUNTS), source.choice(COUNTS), source.choice(ROOMS)
    )


def careless(source: random.Random, booking: Booking, carelessness: float) -> Booking:
    """``booking`` with each slot, at probability ``carelessness``, left as printed."""
    left: dict[str, Any] = {name: value for name, value in asdict(PRINTED).items() if source.random() < carelessness}
    return replace(booking, **left)


def exchanges(seed: int, carelessness: float) -> Iterator[tuple[str, str]]:
    """Requests and replies over all cities, without end."""
    source = random.Random(f"exchanges {seed} {carelessness}")
    while True:
        booking = draw(source, CITIES)
        yield booking.request(source.randrange(len(REQUESTS))), careless(source, booking, carelessness).reply()


def prompts(count: int, split: Split, seed: int) -> list[dict[str, Any]]:
    """``count`` different prompt records, each with its right reply as reference; the two splits share no city.

    >>> record = prompts(1, "held-out", 0)[0]
    >>> any(city in record["reference"] for city in TRAIN_CITIES)
    False
    >>> prompts(5, "train", 0) == prompts(5, "train", 0) != prompts(5, "train", 1)
    True
    """
    source = random.Random(f"prompts {split} {seed}")
    records: dict[str, dict[str, Any]] = {}
    while len(records) < count:
        booking = draw(source, TRAIN_CITIES if split == "train" else HELD_OUT_CITIES)
        request = booking.request(source.randrange(len(REQUESTS)))
        if request not in records:
            records[request] = {
                "id": f"{split}-{len(records):05d}",
                "prompt": [{"role": "user", "content": request}],
                "reference": booking.reply(),
            }
    return list(records.values())

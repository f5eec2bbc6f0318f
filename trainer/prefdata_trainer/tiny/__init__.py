"""The embedded default of ``prefdata demo``: a task, a language model trained on it from scratch, and a local server for it.

Nothing here comes from a hub. The task is hotel bookings: the guest names a city, a day, a number of nights and of guests
and a kind of room, and the desk must repeat all five. The model learns from a careless desk (:mod:`.corpus`), so about
half of what it repeats is wrong; preferences between its own answers are what tells it which half.
"""

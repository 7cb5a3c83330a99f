"""Before the first look: how many units, how many days, and what a whole plan will do."""

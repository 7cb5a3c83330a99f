"""The one door for plans: TOML or JSON to frozen values, every fault with field and hint."""

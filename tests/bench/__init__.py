"""How long the pages and queries that must stay fast take, beside a floor of the same minute."""

"""The one door of a platform on one machine: a reverse proxy before all services, and a page that says how they are."""

"""Who decides: the actors that run a session, and the pure policies they follow.

Import from the modules: this package loads nothing by itself, so that its plain data (`team`,
`engine`) stays cheap to use.
"""

"""Flask-Admin. Run it: ``python examples/web/flask_admin_app.py``."""

from __future__ import annotations

from albums import Album, server, set_up
from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from sqlalchemy.orm import scoped_session, sessionmaker
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sqlalchemy_file.integrations.flask_admin import FilesView


class AlbumAdmin(FilesView, ModelView):
    """Albums, with upload fields and thumbnails."""

    column_list = ("id", "title", "cover", "pages")
    can_view_details = True


session = scoped_session(sessionmaker(set_up()))
app = Flask(__name__)
app.secret_key = "an example's secret, not a real one"
app.teardown_appcontext(lambda error: session.remove())
admin = Admin(app)
admin.add_view(AlbumAdmin(Album, session))
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {server.path: server.wsgi})

if __name__ == "__main__":
    app.run(port=8000)  # http://127.0.0.1:8000/admin

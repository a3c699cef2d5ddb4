"""Flask-Admin with Flask-SQLAlchemy. Run it: ``python examples/web/flask_admin_app.py``."""

from __future__ import annotations

from albums import SECRET, Album, Base, server, set_up
from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sqlalchemy_file.integrations.flask_admin import FilesView


class AlbumAdmin(FilesView, ModelView):
    """Albums, with upload fields and thumbnails."""

    column_list = ("id", "title", "cover", "pages")
    can_view_details = True


app = Flask(__name__)
app.config.update(SECRET_KEY=SECRET, SQLALCHEMY_DATABASE_URI=set_up().url)
db = SQLAlchemy(app, model_class=Base)
admin = Admin(app)
admin.add_view(AlbumAdmin(Album, db))
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {server.path: server.wsgi})

if __name__ == "__main__":
    app.run(port=8000)  # http://127.0.0.1:8000/admin

"""Flask with Flask-SQLAlchemy, and an edit form of WTForms.

Run it: ``python examples/web/flask_app.py``.
"""

from __future__ import annotations

from typing import Any

from albums import SECRET, Album, Base, server, set_up
from flask import Flask, abort, redirect, render_template_string, request
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import FlaskForm
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from wtforms import StringField

from sqlalchemy_file.exceptions import ValidationError
from sqlalchemy_file.integrations.flask import send_file
from sqlalchemy_file.integrations.wtforms import StoredFileField, StoredFilesField
from sqlalchemy_file.serving import public_record

app = Flask(__name__)
app.config.update(SECRET_KEY=SECRET, SQLALCHEMY_DATABASE_URI=set_up().url)
db = SQLAlchemy(app, model_class=Base)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {server.path: server.wsgi})


class AlbumForm(FlaskForm):
    """An edit form: what is not chosen stays."""

    title = StringField()
    cover = StoredFileField()
    pages = StoredFilesField()


PAGE = """
<form method="post" enctype="multipart/form-data">
  {{ form.csrf_token }}
  {% for field in (form.title, form.cover, form.pages) %}
    <p>{{ field.label }} {{ field() }}</p>
  {% endfor %}
  <button>Save</button>
</form>
"""


@app.post("/albums")
def create() -> Any:
    album = Album(
        title=request.form["title"],
        cover=request.files.get("cover"),
        pages=request.files.getlist("pages"),
    )
    db.session.add(album)
    db.session.commit()
    return shown(album), 201


@app.get("/albums")
def albums() -> Any:
    return [shown(album) for album in db.session.scalars(db.select(Album).order_by(Album.id))]


@app.get("/albums/<int:number>/cover")
def cover(number: int) -> Any:
    album = db.session.get(Album, number)
    if album is None or album.cover is None:
        abort(404)
    try:
        return send_file(album.cover, variant=request.args.get("variant"))
    except KeyError:
        abort(404)


@app.route("/albums/<int:number>", methods=["GET", "POST"])
def edit(number: int) -> Any:
    album = db.session.get(Album, number) or abort(404)
    form = AlbumForm(obj=album)
    if form.validate_on_submit():
        form.populate_obj(album)
        db.session.commit()
        return redirect(request.url)
    return render_template_string(PAGE, form=form)


@app.errorhandler(ValidationError)
def show_refusal(error: ValidationError) -> Any:
    return {"errors": [each.as_dict() for each in error.refusals]}, 422


def shown(album: Album) -> dict[str, Any]:
    cover = public_record(album.cover)
    pages = [public_record(page) for page in album.pages or ()]
    return {"id": album.id, "title": album.title, "cover": cover, "pages": pages}


if __name__ == "__main__":
    app.run(port=8000)  # http://127.0.0.1:8000/albums

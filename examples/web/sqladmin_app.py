"""SQLAdmin. Run it: ``python examples/web/sqladmin_app.py``."""

from __future__ import annotations

import uvicorn
from albums import Album, server, set_up
from sqladmin import Admin, ModelView
from starlette.applications import Starlette
from starlette.routing import Mount

from sqlalchemy_file.integrations.sqladmin import FilesView


class AlbumAdmin(FilesView, ModelView, model=Album):
    """Albums, with upload fields and thumbnails."""

    column_list = (Album.id, Album.title, Album.cover, Album.pages)


app = Starlette(routes=[Mount(server.path, app=server.asgi)])
admin = Admin(app, set_up())
admin.add_view(AlbumAdmin)

if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/admin

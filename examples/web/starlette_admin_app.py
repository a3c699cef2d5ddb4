"""starlette-admin. Run it: ``python examples/web/starlette_admin_app.py``."""

from __future__ import annotations

import uvicorn
from albums import SECRET, Album, server, set_up
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette_admin.contrib.sqla import Admin, ModelView

from sqlalchemy_file.integrations.starlette_admin import FilesPlugin, FilesView


class AlbumView(FilesView, ModelView):
    """Albums, whose pages can be replaced one by one."""


app = Starlette(routes=[Mount(server.path, app=server.asgi)])
admin = Admin(set_up(), plugins=[FilesPlugin(server)], secret_key=SECRET)
admin.add_view(AlbumView(Album))
admin.mount_to(app)

if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/admin

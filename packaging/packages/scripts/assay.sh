user=
unit=
